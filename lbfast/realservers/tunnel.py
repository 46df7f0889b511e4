"""Starting and stopping what unwraps tunnels: kernel devices where there are some, else us."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from lbfast.errors import ControlError
from lbfast.realservers.decap import KINDS
from lbfast.realservers.host import IFF_UP, Netlink
from lbfast.realservers.notes import NotesFile, Tunnel
from lbfast.selfcall import environment

# kind: (module, the device that takes packets of no tunnel of its own)
KERNEL = {
    "4in4": ("ipip", "tunl0"),
    "6in4": ("sit", "sit0"),
    "6in6": ("ip6_tunnel", "ip6tnl0"),
}
DEVICE = "lbtun{}"
START_TIMEOUT_S = 10
STOP_TIMEOUT_S = 5


def plan(netlink: Netlink) -> Tunnel:
    """Return who is to unwrap which kind of tunnel on this host."""
    for module, _ in KERNEL.values():
        if modprobe := shutil.which("modprobe"):
            subprocess.run([modprobe, "-q", module], check=False, capture_output=True)
    links = netlink.links()
    by_kernel = {kind: device for kind, (_, device) in KERNEL.items() if device in links}
    number = next(n for n in range(len(links) + 1) if DEVICE.format(n) not in links)
    return Tunnel(
        device=DEVICE.format(number),
        kinds=tuple(kind for kind in KINDS if kind not in by_kernel),
        raised=tuple(d for d in by_kernel.values() if not links[d][1] & IFF_UP),
        addressed=() if netlink.has_ipv4("tunl0") else tuple({"tunl0"} & set(links)),
    )


def kernel_devices(tunnel: Tunnel) -> tuple[str, ...]:
    """Return the kernel's devices that unwrap what our process does not."""
    return tuple(device for kind, (_, device) in KERNEL.items() if kind not in tunnel.kinds)


def start(tunnel: Tunnel, notes: NotesFile) -> int:
    """Start our process; return its id.  ControlError with its last words if it does not come."""
    command = [sys.executable, "-m", "lbfast.realservers.decap", str(notes.path.parent)]
    with notes.log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, tunnel.device, *tunnel.kinds],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    if not readable or process.stdout.readline() != b"ready\n":
        process.kill()
        process.wait()
        words = notes.log_path.read_text(errors="replace").strip().splitlines()
        raise ControlError(f"tunnel {tunnel.device}: {words[-1] if words else 'did not start'}")
    process.stdout.close()
    notes.pid_path.write_text(f"{process.pid} {_started(process.pid)}\n")
    return process.pid


def running(notes: NotesFile) -> int:
    """Return the id of our process, 0 if it does not run (or the number is another's now)."""
    try:
        pid, started = notes.pid_path.read_text().split()
    except (FileNotFoundError, ValueError):
        return 0
    return int(pid) if _started(int(pid)) == started else 0


def reload(notes: NotesFile) -> None:
    """Let our process read the VIPs again."""
    if pid := running(notes):
        os.kill(pid, signal.SIGHUP)


def stop(notes: NotesFile) -> None:
    """End our process, and with it its TUN device."""
    if pid := running(notes):
        handle = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
                    break
        finally:
            os.close(handle)
    notes.pid_path.unlink(missing_ok=True)


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
