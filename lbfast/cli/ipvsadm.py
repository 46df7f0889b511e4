"""The ipvsadm command: its words, texts and exit statuses, on any balancer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from lbfast.cli.addresses import Names, SystemNames
from lbfast.cli.check import check
from lbfast.cli.draft import FAILED, USAGE, LineFailed, Stop
from lbfast.cli.format import Style
from lbfast.cli.kernelerrors import kernel_error_text
from lbfast.cli.parse import parse, try_help
from lbfast.cli.run import Context, list_services, run
from lbfast.control.api import Balancer
from lbfast.errors import KernelError, LbfastError

NO_KERNEL = "Are you sure that IP Virtual Server is built in the kernel or as module?"
_BLANKS = re.compile(r"[ \t\r]+")
_DROPPED = "ipvsadm"  # a word that lines of a saved table may begin with


def main(
    argv: Sequence[str],
    balancer_factory: Callable[[], Balancer],
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    names: Names | None = None,
) -> int:
    """Runs one command line; `argv[0]` is the name the tool is called by.

    Returns the exit status: 0, 1 a listing failed, 2 usage, 255 refused.
    """
    output, errors = stdout or sys.stdout, stderr or sys.stderr
    try:
        balancer = balancer_factory()
    except (LbfastError, OSError) as failed:
        errors.write(f"Can't initialize ipvs: {_reason(failed)}\n{NO_KERNEL}\n")
        return USAGE
    context = Context(balancer, names or SystemNames(), output)
    try:
        try:
            return _run_words(argv, context, stdin or sys.stdin, errors)
        finally:  # of several lines, those before a wrong one are in force
            balancer.settle()
    except Stop as stop:
        output.write(stop.output)
        errors.write(stop.error)
        return stop.status
    finally:
        getattr(balancer, "close", _nothing)()


def _nothing() -> None:
    """Stands for closing a balancer that needs none."""


def _reason(failed: Exception) -> str:
    """Returns why there is no balancer to talk to."""
    if isinstance(failed, PermissionError):
        return kernel_error_text("", 1)
    if isinstance(failed, KernelError):
        return kernel_error_text("", failed.errno or 0)
    return str(failed)


def _run_words(argv: Sequence[str], context: Context, stdin: TextIO, errors: TextIO) -> int:
    if len(argv) == 1:
        try:
            list_services(context, Style(names=context.names))
        except LbfastError as failed:
            raise Stop(1, f"{_reason(failed)}\n") from failed
        return 0
    return _run_line(argv, context, errors, stdin)


def _run_line(argv: Sequence[str], context: Context, errors: TextIO, stdin: TextIO | None) -> int:
    """Runs one line; `stdin` is None for a line that was itself read from there."""
    try:
        draft = parse(argv, context.names)
        check(draft)
        if draft.command != "restore":
            run(draft, context)
            return 0
    except LineFailed as failed:
        errors.write(f"{failed}\n")
        return FAILED
    if stdin is None:
        raise try_help(argv[0])
    status = 0
    for words in restore_lines(stdin):
        status = _run_line([argv[0], *words], context, errors, None)
    return status


def restore_lines(lines: TextIO) -> Iterator[list[str]]:
    """Yields the words of each line that has any; nothing quotes and nothing comments."""
    for line in lines:
        words = [word.partition("\0")[0] for word in _BLANKS.split(line.rstrip("\n"))]
        words = [word for word in words if word not in ("", _DROPPED)]
        if words:
            yield words
