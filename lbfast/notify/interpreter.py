"""Why the kernel would not start a file that is there and executable."""

from __future__ import annotations

import os
import stat

_HEAD = 256  # bytes of a first line that the kernel looks at (linux/binfmts.h)


def flaw(path: str) -> str:
    """Returns what is wrong with the first line of a program, "" if nothing is seen."""
    head = _head(path)
    if head is None or head.startswith(b"\x7fELF"):
        return ""
    if not head.startswith(b"#!"):
        return "has no #! line and is no ELF binary"
    words = head[2:].split(b"\n")[0].strip(b" \t").replace(b"\t", b" ").split(b" ")
    interpreter = os.fsdecode(words[0])
    if not interpreter:
        return "names no interpreter in its #! line"
    if not os.path.exists(interpreter):
        return f"names the interpreter {interpreter!r}, which does not exist"
    return ""


def _head(path: str) -> bytes | None:
    """Returns the beginning of a regular file; None if it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(handle, _HEAD) if stat.S_ISREG(os.fstat(handle).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(handle)
