"""The file behind the arena: on a tmpfs of lbfast's own, so that it outlives the process.

The daemon may run in a mount namespace of its own (`ip netns exec` makes one) that ends with it.
The tmpfs is therefore mounted, and the file opened, in the mount namespace of process 1, or of the
outermost ancestor whose namespace may be entered; the open file is what comes back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from lbfast.errors import ControlError

MOUNT_POINT = Path("/run/lbfast/.arena")
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
HEADER = struct.Struct("=QIIIIIII")  # magic, version, three record sizes, three numbers
MAGIC = 0x6C62666173743031
LAYOUT_VERSION = 5
UNFINISHED = "+"  # behind the name of a file whose start is not done; no name has it
BOOT_AT, BOOT_SIZE = 56, 40  # where the header has the boot_id, padded with zeroes
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_libc = ctypes.CDLL(None, use_errno=True)


def boot_id() -> bytes:
    """Returns what tells this boot of the kernel from others: its clock drives the timers."""
    return BOOT_ID.read_text().strip().encode()


def _ancestors() -> list[int]:
    """Returns process 1, then this process's ancestors from the outermost to its parent."""
    chain: list[int] = []
    pid = os.getppid()
    while pid > 1:
        chain.append(pid)
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(status.rpartition(")")[2].split()[1])
    return [1, *reversed(chain)]


def enter_lasting_mount_namespace() -> None:
    """Enters the mount namespace of the first of them that lets us; stays here otherwise."""
    for pid in _ancestors():
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, CLONE_NEWNS) == 0:
                    return
            finally:
                os.close(fd)


def _mount() -> None:
    MOUNT_POINT.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.ismount(MOUNT_POINT):
        return
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    for options in (b"mode=0700,huge=within_size", b"mode=0700"):
        if _libc.mount(b"lbfast", bytes(MOUNT_POINT), b"tmpfs", flags, options) == 0:
            return
    number = ctypes.get_errno()
    if number != errno.EPERM:  # a container may not mount: the directory itself has to do
        raise OSError(number, f"mounting {MOUNT_POINT}: {os.strerror(number)}")


def _in_child(work: str, name: str, channel: socket.socket) -> None:
    """Runs in a child process: opens or removes the file in a mount namespace that lasts."""
    enter_lasting_mount_namespace()
    path = MOUNT_POINT / name
    unfinished = MOUNT_POINT / (name + UNFINISHED)
    if work == "find":
        unfinished.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _answer(channel, b".", os.open(path, os.O_RDWR | os.O_CLOEXEC))
        return
    if work == "make":
        _mount()
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        _answer(channel, b".", os.open(unfinished, flags, 0o600))
    elif work == "room":
        channel.send(str(_room()).encode())
    elif work == "finish":
        unfinished.rename(path)
    else:
        path.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
        if os.path.ismount(MOUNT_POINT) and not any(MOUNT_POINT.iterdir()):
            _libc.umount2(bytes(MOUNT_POINT), 2)


def _answer(channel: socket.socket, word: bytes, fd: int) -> None:
    socket.send_fds(channel, [word], [fd])


def _room() -> int:
    """Returns the bytes that are free on the tmpfs; one to be mounted gets half of the memory."""
    if os.path.ismount(MOUNT_POINT):
        state = os.statvfs(MOUNT_POINT)
        return state.f_bavail * state.f_frsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _ask_child(work: str, name: str) -> tuple[bytes, int]:
    """Forks, lets the child work, returns what it sent: bytes, a file descriptor or -1."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _in_child(work, name, theirs)
                status = 0
            except OSError as e:
                theirs.send(str(e.strerror or e).encode()[:200])
            finally:
                os._exit(status)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 256, 1)
        _, status = os.waitpid(pid, 0)
    if status:
        raise ControlError(f"arena {name}: {data.decode(errors='replace') or 'cannot be opened'}")
    return data, fds[0] if fds else -1


def find_file(name: str) -> int:
    """Opens the arena file of a director whose start came to its end, -1 when there is none; the
    caller closes it.  What a start left that did not is removed."""
    return _ask_child("find", name)[1]


def make_file(name: str) -> int:
    """Opens a new file; it is an arena to later starts from `finish_file` on."""
    return _ask_child("make", name)[1]


def finish_file(name: str) -> None:
    """Puts the file made last into the place of the director's arena."""
    _ask_child("finish", name)


def room() -> int:
    """Returns how many bytes a new arena may take."""
    return int(_ask_child("room", "")[0])


def remove_file(name: str) -> None:
    """Removes the arena file of a director, and the tmpfs with the last one."""
    _ask_child("remove", name)


def sizes_in(fd: int) -> tuple[int, int, int, int] | None:
    """Returns (layout version, connections, destinations, services) of an arena, None if empty."""
    raw = os.pread(fd, HEADER.size, 0)
    if len(raw) < HEADER.size:
        return None
    magic, version, _, _, _, conns, dests, services = HEADER.unpack(raw)
    if magic != MAGIC:
        return None
    return version, conns, dests, services


def is_of_this_boot(fd: int) -> bool:
    """Tells if an arena is of this layout and of this boot of the kernel."""
    there = sizes_in(fd)
    if there is None or there[0] != LAYOUT_VERSION:
        return False
    return os.pread(fd, BOOT_SIZE, BOOT_AT).rstrip(b"\0") == boot_id()
