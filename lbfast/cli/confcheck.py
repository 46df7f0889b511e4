"""`lbfast check`: what is wrong with a keepalived.conf, and what in it has no effect."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lbfast.config.findings import Finding, Severity, with_bytes
from lbfast.config.load import Loaded, load
from lbfast.config.system import System
from lbfast.words import Parser

_WORDS = {
    Severity.NOTE: "note",
    Severity.ERROR: "error",
    Severity.SECURITY: "security",
    Severity.REFUSED: "refused",
    Severity.ABSENT: "refused",
    Severity.ELSEWHERE: "refused",
    Severity.FATAL: "fatal",
    Severity.UNREAD: "fatal",
}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lbfast check",
        description="Judge keepalived.conf files; the exit status is that of `keepalived -t`.",
    )
    parser.add_argument("-f", "--use-file", action="append", metavar="FILE", default=[],
                        help="a file; may be repeated")  # fmt: skip
    parser.add_argument(
        "-i", "--config-id", metavar="ID", default="",
        help="what @ID lines are compared with (default: the host's name)",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="leave notes out")
    parser.add_argument("files", nargs="*", metavar="FILE")
    return parser


def line(finding: Finding) -> str:
    """Returns a finding as one line of text."""
    text = f"{finding.place}: {_WORDS[finding.severity]}: {finding.found}, {finding.expected}"
    return with_bytes(text)


def judge(path: str, config_id: str = "") -> Loaded:
    """Reads a file as this host would."""
    return load(path, System(looks_up=True), config_id)


def main(argv: Sequence[str]) -> int:
    """Prints all findings; returns the worst file's exit status: 0, 5, 6, or 2 at a fatal end."""
    args = _parser().parse_args(argv)
    files = [*args.use_file, *args.files] or ["/etc/keepalived/keepalived.conf"]
    worst = 0
    for path in files:
        findings = judge(path, args.config_id).findings
        for finding in findings:
            if not args.quiet or finding.severity is not Severity.NOTE:
                print(line(finding))
        status = findings.exit_status()
        worst = status if _rank(status) > _rank(worst) else worst
    sys.stdout.flush()
    return worst


def _rank(status: int) -> int:
    return (0, 5, 6, 2).index(status)
