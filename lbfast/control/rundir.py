"""Where a running director keeps its socket and its pid: one directory for each name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lbfast.errors import ControlError

RUN = Path("/run/lbfast")
NAME_VARIABLE = "LBFAST_NAME"
RUN_VARIABLE = "LBFAST_RUN"  # another place than /run/lbfast, for tests
_SO_NETNS_COOKIE = 71
_INITIAL_COOKIE = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")


def network_namespace_name() -> str:
    """Returns the name of the director of this network namespace: main, or ns-COOKIE."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            packed = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:  # before Linux 5.14
            return f"ns-i{os.stat('/proc/self/ns/net').st_ino}"
    (cookie,) = struct.unpack("=Q", packed)
    return "main" if cookie == _INITIAL_COOKIE else f"ns-{cookie}"


def director_name(environ: Mapping[str, str] = os.environ) -> str:
    """Returns the name asked for in the environment, else the network namespace's."""
    name = environ.get(NAME_VARIABLE, "")
    return check_name(name) if name else network_namespace_name()


def check_name(name: str) -> str:
    """Returns `name` if it can be one; raises ControlError."""
    if not _NAME.fullmatch(name):
        raise ControlError(
            f"director's name {name!r}, expected 1 to 32 letters, digits, '_', '-', '.'"
        )
    return name


def run_directory(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Returns the run directory of the director called `name`; it need not exist."""
    return Path(environ.get(RUN_VARIABLE) or RUN) / name


def control_path(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Returns the path of its control socket."""
    return run_directory(name, environ) / "control.sock"


@dataclass(slots=True)
class Claim:
    """A run directory that belongs to this process as long as the claim is held."""

    path: Path
    _pid_fd: int

    @property
    def control(self) -> Path:
        """Where the control socket goes."""
        return self.path / "control.sock"

    def release(self) -> None:
        """Removes what is in the directory, and it; another process may claim the name then."""
        if self._pid_fd < 0:
            return
        for name in ("control.sock", "pid"):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(
            OSError
        ):  # somebody claims it at this moment, or keeps files there
            self.path.rmdir()
        os.close(self._pid_fd)
        self._pid_fd = -1


def claim(name: str, environ: Mapping[str, str] = os.environ) -> Claim:
    """Makes the run directory of `name` and takes it for this process.

    Raises ControlError when another process holds it, or when somebody else could write there.
    """
    path = run_directory(check_name(name), environ)
    _make_private(path.parent)
    _make_private(path)
    while True:
        fd = os.open(path / "pid", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise ControlError(f"lbfast {name!r} runs already, pid {holder or '?'}") from None
        if _is_same_file(fd, path / "pid"):
            break
        os.close(fd)  # its holder removed it between our opening and our locking
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return Claim(path, fd)


def _make_private(path: Path) -> None:
    """Makes a directory that is ours alone."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise ControlError(f"{path.parent}: no such directory") from None
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ControlError(f"{path}: not a directory of uid {os.geteuid()}")
    if status.st_mode & 0o022:
        raise ControlError(f"{path}: others may write there, mode {status.st_mode & 0o777:o}")


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
