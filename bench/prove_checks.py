"""Claims on health checks: what a thousand a second cost of one core.

A process of its own runs them, as the daemon does, against nginx on this host: a thousand real
servers (addresses of 127.0.0.0/8), each checked once a second.  Counted is its CPU time, user and
system; on a loopback the kernel's work for the answers is in it as well.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.lab import ROOT, result
from lbfast.check.service import HealthChecks
from lbfast.model import AF_INET, Method, RealServer, ServerKey, ServiceKey, VirtualService
from lbfast.model.check import (
    CheckConfiguration,
    CheckedServer,
    CheckedService,
    Checker,
    HttpCheck,
    TcpCheck,
    Timing,
    Url,
)
from tests.fake_balancer import FakeBalancer

SERVERS = 1000  # each checked once a second
SETTLE_S, MEASURE_S = 3.0, 8.0
BOUNDS = {"tcp": 0.35, "http": 0.50}  # of one core
MIN_RATE = 0.95  # of the attempts that are due, else it is no measurement of a thousand a second
_TCP = int(socket.IPPROTO_TCP)


def configuration(checker: Checker, port: int) -> CheckConfiguration:
    """A service of a thousand servers that all listen on one port."""
    key = ServiceKey(AF_INET, _TCP, socket.inet_aton("10.7.0.100"), 80)
    servers = tuple(
        CheckedServer(
            RealServer(ServerKey(AF_INET, bytes((127, 1, at >> 8, at & 255)), port), Method.MASQ),
            (checker,),
        )
        for at in range(1, SERVERS + 1)
    )
    timing = Timing(delay_loop_s=1.0, warmup_s=1.0)
    service = CheckedService((VirtualService(key),), servers=servers, timing=timing)
    return CheckConfiguration((service,))


async def measure(kind: str, port: int) -> dict[str, float]:
    """Runs the checks and returns CPU seconds a second, and attempts a second."""
    checker = TcpCheck() if kind == "tcp" else HttpCheck(urls=(Url("/"),))
    checks = HealthChecks()
    await checks.start(configuration(checker, port), FakeBalancer())
    await asyncio.sleep(SETTLE_S)
    before, done, begun = _cpu_s(), _attempts(port), time.monotonic()
    await asyncio.sleep(MEASURE_S)
    cpu_s, attempts = _cpu_s() - before, _attempts(port) - done
    elapsed_s = time.monotonic() - begun
    up = sum(check.is_up and check.last.ok is True for check in checks.checks.values())
    await checks.stop()
    return {"core": cpu_s / elapsed_s, "rate": attempts / elapsed_s, "up": up}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _attempts(port: int) -> int:
    """The connections that nginx has accepted since it started, the one that asks included."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        with sock.makefile() as answer:
            return int(answer.read().split("server accepts handled requests\n")[1].split()[0])


def site(directory: Path, port: int) -> list[str]:
    """Returns the command of a web server whose page is three bytes, working in `directory`."""
    (directory / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
error_log stderr crit;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server {{
        listen 0.0.0.0:{port} backlog=4096;
        location / {{ return 200 "ok\\n"; }}
        location = /status {{ stub_status; }}
    }}
}}
""")
    return ["nginx", "-p", f"{directory}/", "-c", "nginx.conf"]


def nginx(directory: Path, port: int) -> subprocess.Popen[bytes]:
    """Starts that web server on this host."""
    process = subprocess.Popen(site(directory, port), stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError("nginx did not start")


def claim(kind: str) -> Iterator[dict[str, object]]:
    """Measures one kind in a process of its own."""
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="lbfast-checks-") as place:
        web = nginx(Path(place), port)
        try:
            words = [sys.executable, "-m", "bench.prove_checks", kind, str(port)]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        finally:
            web.terminate()
            web.wait()
    seen = json.loads(done.stdout)
    share = seen["core"] * SERVERS / seen["rate"]
    ok = share <= BOUNDS[kind] and seen["rate"] >= MIN_RATE * SERVERS and seen["up"] == SERVERS
    yield result(
        f"checks-{kind}", round(share, 3), "of a core at 1000 checks/s", f"<= {BOUNDS[kind]}",
        "nginx on the loopback", ok, rate=round(seen["rate"]), up=seen["up"],
    )  # fmt: skip


CLAIMS = {"checks-tcp": lambda: claim("tcp"), "checks-http": lambda: claim("http")}

if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(measure(sys.argv[1], int(sys.argv[2])))))
