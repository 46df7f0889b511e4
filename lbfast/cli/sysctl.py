"""`lbfast sysctl`: the settings net.ipv4.vs.* of the director, with sysctl(8)'s words."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence

from lbfast.control.api import Balancer
from lbfast.control.client import connect
from lbfast.control.settings import NAMES, SETTINGS
from lbfast.errors import KernelError
from lbfast.words import refuse

PREFIX = "net.ipv4.vs."
USAGE = """\
usage: lbfast sysctl [-n] -a | NAME ... | [-w] NAME=VALUE ...

Shows or sets net.ipv4.vs.NAME of the director; the prefix may be left out.
  -a    show all
  -n    show values without names
  -w    set (default when a word has '=')
"""
_COMMAND = "lbfast sysctl"


def main(argv: Sequence[str], opened: Callable[[], Balancer] = connect) -> int:
    """Runs `lbfast sysctl` with the words behind it; returns the exit status."""
    flags = {word for word in argv if word.startswith("-")}
    words = [word for word in argv if word not in flags]
    if flags & {"-h", "--help"}:
        sys.stdout.write(USAGE)
        return 0
    wrong = sorted(flags - {"-a", "-n", "-w"})
    if wrong:
        return refuse(_COMMAND, f"{wrong[0]!r} unknown, expected -a, -n or -w")
    if ("-a" in flags) == bool(words):
        return refuse(_COMMAND, f"{'-a and names' if words else 'no words'}, expected -a or names")
    if "-w" in flags and (plain := [word for word in words if "=" not in word]):
        return refuse(_COMMAND, f"-w: {plain[0]!r}, expected NAME=VALUE")
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
        shown = balancer.sysctl(name)
    except KernelError as refused:
        print(f"{_COMMAND}: {PREFIX}{name}: {_reason(refused, name, value)}", file=sys.stderr)
        return 1
    print(shown if is_plain else f"{PREFIX}{name} = {shown}")
    return 0


def _reason(refused: KernelError, name: str, value: str) -> str:
    if refused.errno == errno.ENOENT:
        return "there is no such setting, `lbfast sysctl -a` shows all"
    if refused.errno == errno.EINVAL and name in SETTINGS:
        return f"{value!r}, expected {SETTINGS[name].expected}"
    return "cannot be changed" if refused.errno == errno.EPERM else str(refused)
