"""The host that lbfast runs on, as the reading of a configuration asks about it."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import shutil
import socket
import stat
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class System:
    """Implements `lbfast.config.host.Host`."""

    def read_lines(self, path: str) -> list[str]:
        text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
        return [line.rstrip("\r") for line in text.split("\n")]

    def glob(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern))

    def is_plain_file(self, path: str) -> bool:
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) and not mode & 0o111

    def has_interface(self, name: str) -> bool:
        return name in {found for _, found in socket.if_nameindex()}

    def find_program(self, word: str) -> str:
        if "/" in word:
            return word if os.path.exists(word) else ""
        return shutil.which(word, path=os.environ.get("PATH", _PATH)) or ""

    def is_executable(self, path: str) -> bool:
        return os.path.isfile(path) and os.access(path, os.X_OK)

    def is_insecure(self, path: str) -> bool:
        real = Path(os.path.realpath(path))
        if not real.is_file():
            return True
        for part in (real, *real.parents):
            status = part.stat()
            is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            if status.st_uid != 0 or (status.st_mode & 0o022 and not is_sticky):
                return True
        return False

    def has_account(self, user: str, group: str) -> bool:
        try:
            pwd.getpwnam(user)
            if group:
                grp.getgrnam(group)
        except KeyError:
            return False
        return True

    def is_root(self, user: str) -> bool:
        try:
            return pwd.getpwnam(user).pw_uid == 0
        except KeyError:
            return False

    def network_name(self) -> str:
        return socket.gethostname()

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)
