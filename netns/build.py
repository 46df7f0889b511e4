"""Makes a described network real: namespaces, veth pairs, addresses, routes, settings."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from netns.ownership import Record, clean_leftovers, namespaces
from netns.process import Process
from netns.topo import End, Host, Sysctl, Topology, check, with_switches

# What a distribution may have changed and every description takes for granted.
BASE_SYSCTLS = (
    *(
        Sysctl(f"net.ipv4.conf.{scope}.{name}", "0")
        for scope in ("all", "default")
        for name in ("rp_filter", "arp_ignore", "arp_announce")
    ),
    Sysctl("net.ipv4.ip_forward", "0"),
    Sysctl("net.ipv6.conf.all.disable_ipv6", "0"),
    Sysctl("net.ipv6.conf.default.disable_ipv6", "0"),
    Sysctl("net.ipv6.conf.all.accept_dad", "0"),
    Sysctl("net.ipv6.conf.default.accept_dad", "0"),
    Sysctl("net.ipv6.conf.default.accept_ra", "0"),
)
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Net:
    """A topology made real under a prefix of its own; a context manager removes it unless kept."""

    def __init__(self, topology: Topology, scratch: Path | None = None) -> None:
        """Build it.  `scratch` takes the logs and stays; without it they go with the network.

        ValueError if the description cannot be built, PermissionError without root, RuntimeError
        with the words of ip(8) or sysctl(8) if the system refuses.
        """
        if found := check(topology):
            raise ValueError(f"{topology.name}: {'; '.join(found)}")
        if os.geteuid() != 0:
            raise PermissionError(
                "network namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN: run it as root"
            )
        clean_leftovers()
        self.topology = with_switches(topology)
        self._record = Record()
        self.prefix = self._record.prefix
        self.scratch = scratch or self._record.scratch
        self.processes: list[Process] = []
        self._kept = False
        try:
            self._build()
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._kept:
            self.remove()

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace, for `ip netns exec`."""
        return f"{self.prefix}-{host}"

    def command(self, host: str, argv: Sequence[str]) -> list[str]:
        """Return `argv` as a command that runs inside a host."""
        return ["ip", "netns", "exec", self.namespace(host), *argv]

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = 60,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host to its end; RuntimeError with its words if it fails."""
        done = subprocess.run(
            self.command(host, argv),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            input=stdin or "",
            env={**os.environ, **(environment or {})},
        )
        if check and done.returncode:
            raise RuntimeError(
                f"{host}: {' '.join(argv)}: exit {done.returncode}: {done.stderr or done.stdout}"
            )
        return done

    def start(
        self,
        host: str,
        argv: Sequence[str],
        name: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process inside a host; its output goes to `scratch`/host-name.out and .err."""
        base = self.scratch / f"{host}-{name or Path(argv[0]).name}"
        process = Process(self.command(host, argv), base, environment)
        self.processes.append(process)
        return process

    def keep(self) -> None:
        """Leave the network up when this process ends; `ownership.remove` takes it down."""
        self._record.keep()
        self._kept = True

    def remove(self) -> None:
        """Stop what was started here, remove the namespaces; may be called again."""
        with _uninterrupted():
            for process in self.processes:
                process.signal(signal.SIGTERM)
            for process in self.processes:
                process.stop()
            self.processes.clear()
            self._record.forget()

    def _build(self) -> None:
        hosts = self.topology.hosts
        _ip("netns", [f"netns add {self.namespace(h.name)}" for h in hosts])
        for host in hosts:
            settings = (*BASE_SYSCTLS, *host.sysctls)
            self.run(host.name, ["sysctl", "-qw", *(f"{s.name}={s.value}" for s in settings)])
        _ip("links", [self._pair(shared.ends, shared.mtu) for shared in self.topology.links])
        for host in hosts:
            _ip(host.name, self._host_commands(host), self.namespace(host.name))
        if missing := {self.namespace(h.name) for h in hosts} - set(namespaces(self.prefix)):
            raise RuntimeError(f"{missing}: not made")

    def _pair(self, ends: Sequence[End], mtu: int) -> str:
        a, b = ends
        return (
            f"link add {a.interface} netns {self.namespace(a.host)} mtu {mtu} type veth "
            f"peer name {b.interface} netns {self.namespace(b.host)} mtu {mtu}"
        )

    def _host_commands(self, host: Host) -> Iterator[str]:
        yield "link set lo up"
        for bridge in host.bridges:
            yield f"link add {bridge.name} type bridge forward_delay 0 mcast_snooping 0"
            yield from (f"link set {port} master {bridge.name}" for port in bridge.ports)
            yield f"link set {bridge.name} up"
        yield from (f"link set {name} up" for name in self.topology.interfaces(host.name))
        for address in host.addresses:
            extra = "nodad" if address.is_v6 else f"label {address.label or address.interface}"
            extra += "" if address.is_source else " preferred_lft 0"
            yield f"addr add {address.value} dev {address.interface} {extra}"
        for route in host.routes:
            via = f" via {route.via}" if route.via else ""
            device = f" dev {route.interface}" if route.interface else ""
            yield f"route add {route.to}{via}{device}"


def _ip(what: str, commands: Sequence[str] | Iterator[str], namespace: str = "") -> None:
    """Give ip(8) a batch of commands; RuntimeError with its words."""
    inside = ["-n", namespace] if namespace else []
    done = subprocess.run(
        ["ip", *inside, "-batch", "-"],
        check=False,
        capture_output=True,
        text=True,
        input="".join(f"{command}\n" for command in commands),
    )
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr.strip()}")


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, SIGTERM and SIGHUP back until the removal is over.

    Blocked, they do not end the commands that remove either; a thread that has them unblocked may
    still get them, so they are noted meanwhile, and raised again at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in STOPPING}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
