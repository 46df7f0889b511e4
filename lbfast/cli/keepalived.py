"""What a director by a file is started with: `lbfast run -f`, and keepalived's own options."""

from __future__ import annotations

import getopt
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lbfast.cli import confcheck
from lbfast.processes import early
from lbfast.processes.log import FACILITIES
from lbfast.processes.start import Request, start

DEFAULT_FILE = "/etc/keepalived/keepalived.conf"
SIGNALS = {"STOP": 15, "RELOAD": 1, "DATA": 10, "STATS": 12, "STATS_CLEAR": 63, "JSON": 36}
_SHORT = "hlndDGg:S:PCBp:r:c:b:t::i:s:XVIRu:evf:maxA:M:"
_LONG = {
    "help": "h", "log-console": "l", "dont-fork": "n", "dump-conf": "d", "log-detail": "D",
    "no-syslog": "G", "log-file=": "g", "log-facility=": "S", "vrrp": "P", "check": "C",
    "no_bfd": "B", "all": "all", "pid=": "p", "vrrp_pid=": "r", "checkers_pid=": "c",
    "bfd_pid=": "b", "config-test": "t", "config-id=": "i", "namespace=": "s",
    "release-vips": "X", "dont-release-vrrp": "V", "dont-release-ipvs": "I",
    "dont-respawn": "R", "umask=": "u", "all-config": "e", "version": "v", "use-file=": "f",
    "signum=": "signum", "flush-log-file": "flush", "core-dump": "m", "core-dump-pattern=": "M",
    "address-monitoring": "a", "snmp": "x", "snmp-agent-socket=": "A",
}  # fmt: skip


@dataclass(slots=True)
class Words:
    """The options of one command line; an option without an argument has an empty one."""

    given: dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def get(self, name: str, otherwise: str = "") -> str:
        return self.given.get(name, otherwise)


def parse(argv: Sequence[str]) -> Words:
    """Reads keepalived's options; raises getopt.GetoptError."""
    words = Words()
    rest: list[str] = []
    for word in argv:
        # -t and --config-test take an argument only when it is joined to them
        if word.startswith("--config-test="):
            words.given["t"] = word.partition("=")[2]
        elif word.startswith("-t") and len(word) > 2 and not word.startswith("--"):
            words.given["t"] = word[2:]
        else:
            rest.append(word)
    pairs, surplus = getopt.gnu_getopt(rest, _SHORT.replace("::", ""), list(_LONG))
    if surplus:
        raise getopt.GetoptError(f"unexpected argument {surplus[0]!r}")
    for name, value in pairs:
        bare = name.lstrip("-")
        words.given[_LONG.get(f"{bare}=", _LONG.get(bare, bare))] = value
    return words


def main(argv: Sequence[str]) -> int:
    """Behaves as `keepalived` with these options; returns its exit status."""
    if argv and argv[0] in ("-T", "--genhash"):
        from lbfast.cli.main import main as lbfast

        return lbfast(["genhash", *argv[1:]])
    try:
        words = parse(argv)
    except getopt.GetoptError as wrong:
        print(f"keepalived: {wrong}", file=sys.stderr)
        return 1
    if "h" in words:
        print(_usage())
        return 0
    if "v" in words:
        from lbfast import __version__

        print(f"Keepalived as lbfast {__version__} understands it", file=sys.stderr)
        return 0
    if "signum" in words:
        return _signal_number(words.get("signum"))
    path = words.get("f", DEFAULT_FILE)
    if not re.fullmatch("[0-7]{0,4}", words.get("u")):
        print(f"keepalived: umask {words.get('u')!r}: expected an octal number", file=sys.stderr)
        return 1
    if "t" in words:
        early.judge_only()
        return _test(path, words)
    # absolute, as a process in the background leaves this directory
    return start(request(os.path.abspath(path), words))


def request(path: str, words: Words) -> Request:
    """Returns what the options ask for."""
    both = "all" in words or ("P" in words) == ("C" in words)
    every = True if "all" in words else None
    return Request(
        file=path,
        config_id=words.get("i"),
        namespace=words.get("s"),
        with_vrrp=every if both else "P" in words,
        with_check=every if both else "C" in words,
        keep_addresses="V" in words,
        keep_table="I" in words,
        respawn="R" not in words,
        background="n" not in words,
        detail="D" in words,
        dump_at_start="d" in words,
        log_file=words.get("g"),
        facility="" if "G" in words else _facility(words.get("S", "daemon")),
        is_silent="G" in words and "l" not in words and "g" not in words,
        console="l" in words,
        umask=words.get("u"),
        keepalived_pids=True,
        pid_files=_pid_files(words.given),
    )


def _facility(word: str) -> str:
    """Returns the facility that -S names; as keepalived does, daemon for one that is none."""
    name = f"local{word}" if word.isdigit() else word
    if name in FACILITIES:
        return name
    print(f"keepalived: log facility {word!r}: expected {', '.join(FACILITIES)} or a number from "
          "0 to 7, using daemon", file=sys.stderr)  # fmt: skip
    return "daemon"


def _pid_files(given: Mapping[str, str]) -> dict[str, Path]:
    kinds = {"p": "parent", "r": "vrrp", "c": "checker"}
    return {
        kind: Path(given[letter]).absolute() for letter, kind in kinds.items() if letter in given
    }


def _signal_number(name: str) -> int:
    number = SIGNALS.get(name.upper().removeprefix("SIG"))
    if number is None:
        print(f"keepalived: unknown signal {name!r}: {', '.join(SIGNALS)}", file=sys.stderr)
        return 1
    print(number)
    return 0


def _test(path: str, words: Words) -> int:
    """Judges the file, its findings on standard error or in the file that is named."""
    findings = confcheck.judge(path, words.get("i")).findings
    text = "".join(f"{confcheck.line(finding)}\n" for finding in findings if finding.severity)
    if words.get("t"):
        Path(words.get("t")).write_text(text, encoding="utf-8")
    else:
        sys.stderr.write(text)
    return findings.exit_status()


def _usage() -> str:
    options = ", ".join(f"--{name.rstrip('=')}" for name in _LONG)
    return f"usage: keepalived [options]\n\n  {options}\n\n  default file: {DEFAULT_FILE}"
