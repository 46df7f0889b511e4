"""Opens one file as a given user and ends: `opening.py PATH [UID GID]`.

A program of its own, which needs nothing of lbfast: what opens slowly or never, say a FIFO that
nobody writes or a file of a network that is away, holds up nobody else, and is killed when its
time is over.  Exit status 0 if the file could be opened for reading, 2 if not, as keepalived has
it.  It gives up by itself after a minute: nobody waits for a notification.
"""

from __future__ import annotations

import os
import signal
import sys

_FAILED = 2
_PATIENCE_S = 60


def main(path: str, *identity: str) -> int:
    signal.alarm(_PATIENCE_S)
    try:
        if identity:
            user, group = (int(word) for word in identity)
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        os.open(path, os.O_RDONLY | os.O_NOCTTY)  # nothing is read; the end closes it
    except (OSError, ValueError):
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
