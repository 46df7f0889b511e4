"""A client, a director and a server in namespaces of their own, for tests of the world around.

client eth0 10.1.0.2 --- 10.1.0.1 eth0 director eth1 10.2.0.1 --- 10.2.0.2 eth0 server
              fd01::2     fd01::1                    fd02::1      fd02::2
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from lbfast.control.steering import tap_filter

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def wait_for(what: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Returns the first true answer; AssertionError if there is none in time."""
    end = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < end, f"not within {timeout_s} s"
        threading.Event().wait(0.01)
    return answer


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Puts the calling thread into a network namespace; sockets made there stay in it."""
    with open("/proc/thread-self/ns/net", "rb") as home:
        with open(f"/run/netns/{namespace}", "rb") as there:
            _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def ip(namespace: str, *lines: str) -> None:
    """Runs commands of ip(8) in one go; RuntimeError with its words."""
    done = subprocess.run(
        ["ip", "-n", namespace, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{lines}: {done.stderr}")


def run(namespace: str, *argv: str, ok: bool = True) -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *argv], capture_output=True, text=True, check=False
    )
    if ok and done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr or done.stdout}")
    return done.stdout


def setting(namespace: str, name: str, value: object) -> None:
    with entered(namespace), open("/proc/sys/net/" + name, "w", encoding="ascii") as f:
        f.write(str(value))


@dataclass(frozen=True)
class Lab:
    client: str
    director: str
    server: str

    def index(self, name: str) -> int:
        with entered(self.director):
            return socket.if_nametoindex(name)

    def interfaces(self, *names: str) -> dict[int, str]:
        return {self.index(name): name for name in names or ("eth0", "eth1")}


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """Builds the network and removes it."""
    prefix = f"lbw{secrets.token_hex(3)}"
    net = Lab(*(f"{prefix}{role}" for role in ("c", "d", "s")))
    names = (net.client, net.director, net.server)
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            setting(name, "ipv6/conf/all/accept_dad", 0)
            setting(name, "ipv6/conf/default/accept_dad", 0)
        _wire(net)
        yield net
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _wire(net: Lab) -> None:
    for name in (net.client, net.server):
        side, end = (1, "eth0") if name == net.client else (2, "eth1")
        ip(
            net.director,
            f"link add {end} type veth peer name eth0 netns {name}",
            f"addr add 10.{side}.0.1/24 dev {end}",
            f"addr add fd0{side}::1/64 dev {end} nodad",
            f"link set {end} up",
        )
        ip(
            name,
            "link set lo up",
            f"addr add 10.{side}.0.2/24 dev eth0",
            f"addr add fd0{side}::2/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via 10.{side}.0.1",
            f"route add ::/0 via fd0{side}::1",
        )
    ip(net.director, "link set lo up")
    setting(net.director, "ipv4/ip_forward", 1)
    setting(net.director, "ipv6/conf/all/forwarding", 1)


class Tap:
    """A packet socket with virtio-net headers, inside a namespace, as the forwarder has."""

    def __init__(self, namespace: str, ifindex: int, *, mark: int | None = None) -> None:
        """With a mark it transmits only, else it receives what the tap filter lets in."""
        with entered(namespace):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
            if mark is None:
                self._listen()
            else:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            name = socket.if_indextoname(ifindex)
            self.sock.bind((name, 3 if mark is None else 0))

    def _listen(self) -> None:
        self.sock.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        code = b"".join(
            c.to_bytes(2, "little") + bytes((t, f)) + k.to_bytes(4, "little")
            for c, t, f, k in tap_filter()
        )
        buf = ctypes.create_string_buffer(code, len(code))
        fprog = len(tap_filter()).to_bytes(8, "little") + ctypes.addressof(buf).to_bytes(
            8, "little"
        )
        self.sock.setsockopt(socket.SOL_SOCKET, 26, fprog)  # SO_ATTACH_FILTER


class Loop:
    """Takes every frame of some interfaces and hands each to `send`, in a thread."""

    def __init__(self, lab: Lab, interfaces: dict[int, str], send: Callable[[int, bytes], None]):
        self._taps = {i: Tap(lab.director, i) for i in interfaces}
        self._send = send
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in interfaces]
        self.frames = self.pings = 0
        self.errors: list[OSError] = []

    def _run(self, ifindex: int) -> None:
        sock = self._taps[ifindex].sock
        sock.settimeout(0.05)
        while not self._stop.is_set():
            try:
                frame = sock.recv(1 << 17)
                self.frames += 1
                # behind the virtio-net header: IPv4, ICMP
                self.pings += frame[22:24] == b"\x08\x00" and frame[33] == 1
                self._send(ifindex, frame)
            except TimeoutError:
                continue
            except OSError as e:
                self.errors.append(e)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for tap in self._taps.values():
            tap.sock.close()


class Echo:
    """A TCP server that counts what it gets and answers with a line, and a client for it."""

    def __init__(self, namespace: str, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with entered(namespace):
            self._sock = socket.create_server((address, port), family=family)
        self._sock.settimeout(10)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, peer = self._sock.accept()
                with conn:
                    conn.settimeout(10)
                    size = 0
                    while data := conn.recv(1 << 20):
                        size += len(data)
                    conn.sendall(f"{size} {peer[0]}".encode())

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()


@contextlib.contextmanager
def echo(namespace: str, address: str, port: int = 80) -> Iterator[None]:
    server = Echo(namespace, address, port)
    try:
        yield
    finally:
        server.close()


def talk(namespace: str, address: str, port: int = 80, size: int = 1 << 21) -> tuple[int, str]:
    """Sends bytes and returns what the server counted, and from whom."""
    with entered(namespace):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.settimeout(8)
        sock.connect((address, port))
        sock.sendall(os.urandom(1024) * (size // 1024))
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(1024):
            answer += data
    count, peer = answer.decode().split()
    return int(count), peer


def counter(namespace: str, name: str) -> int:
    """Reads a counter of nstat(8): the namespace's own since it was made."""
    out = run(namespace, "nstat", "-asz", name)
    return sum(int(line.split()[1]) for line in out.splitlines() if line.startswith(name))
