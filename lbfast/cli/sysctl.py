"""`lbfast sysctl`: the settings net.ipv4.vs.* of the director, with sysctl(8)'s words."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence

from lbfast.control.api import Balancer
from lbfast.control.client import connect
from lbfast.control.settings import NAMES
from lbfast.errors import KernelError

PREFIX = "net.ipv4.vs."
USAGE_STATUS = 2
USAGE = """\
usage: lbfast sysctl [-n] -a | NAME ... | [-w] NAME=VALUE ...

Shows or sets net.ipv4.vs.NAME of the director; the prefix may be left out.
  -a    show all
  -n    show values without names
  -w    set (default when a word has '=')
"""
_REFUSALS = {
    errno.ENOENT: "there is no such setting",
    errno.EINVAL: "invalid value",
    errno.EPERM: "cannot be changed",
}


def main(argv: Sequence[str], opened: Callable[[], Balancer] = connect) -> int:
    """Runs `lbfast sysctl` with the words behind it; returns the exit status."""
    flags = {word for word in argv if word.startswith("-")}
    words = [word for word in argv if word not in flags]
    if flags & {"-h", "--help"}:
        sys.stdout.write(USAGE)
        return 0
    wrong = sorted(flags - {"-a", "-n", "-w"})
    if wrong or ("-a" in flags) == bool(words):
        what = f"{wrong[0]!r} unknown" if wrong else "expected -a or names"
        sys.stderr.write(f"lbfast sysctl: {what}\n{USAGE}")
        return USAGE_STATUS
    if "-w" in flags and not all("=" in word for word in words):
        sys.stderr.write(f"lbfast sysctl: -w: expected NAME=VALUE\n{USAGE}")
        return USAGE_STATUS
    balancer = opened()
    status = 0
    for word in words or NAMES:
        status |= _one(balancer, word, "-n" in flags)
    return status


def _one(balancer: Balancer, word: str, is_plain: bool) -> int:
    """Does one word; returns 1 when it was refused."""
    name, equals, value = (part.strip() for part in word.partition("="))
    name = name.replace("/", ".").removeprefix(PREFIX)
    try:
        if equals:
            balancer.set_sysctl(name, value)
        value = balancer.sysctl(name)
    except KernelError as refused:
        reason = _REFUSALS.get(refused.errno or 0, str(refused))
        print(f"lbfast sysctl: {PREFIX}{name}: {reason}", file=sys.stderr)
        return 1
    print(value if is_plain else f"{PREFIX}{name} = {value}")
    return 0
