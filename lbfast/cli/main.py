"""The lbfast command: finds the word's module, runs it, turns failures into one sentence."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from lbfast.errors import LbfastError
from lbfast.words import USAGE_STATUS, refuse

FAILED = 1
_INTERRUPTED, _PIPE_CLOSED = 130, 141  # as shells report the signals
_TOOLS = ("ipvsadm", "ipvsadm-save", "ipvsadm-restore")


@dataclass(frozen=True, slots=True)
class Word:
    """A subcommand: where its `main(words) -> status` is, and what it does."""

    module: str
    purpose: str


WORDS: Mapping[str, Word] = {
    "run": Word("lbfast.daemon", "run the director in the foreground"),
    "check": Word("lbfast.cli.confcheck", "judge a keepalived.conf"),
    "ipvsadm": Word("lbfast.cli.tool", "take ipvsadm's words"),
    "mark": Word("lbfast.cli.mark", "give packets a fwmark"),
    "sysctl": Word("lbfast.cli.sysctl", "show or set net.ipv4.vs.*"),
    "counters": Word("lbfast.cli.counters", "show what became of packets, and why"),
    "replay": Word("lbfast.replay", "run a recorded scenario from standard input"),
    "genhash": Word("lbfast.check.genhash", "print the digest of a page for HTTP_GET"),
    "realserver": Word("lbfast.realserver", "set up this host as a real server"),
    "demo": Word("lbfast.demo", "build a network and balance in it"),
    "bench": Word("lbfast.bench", "measure the rings with nothing balanced"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line, `argv[0]` being the name called by; returns the exit status."""
    argv = sys.argv if argv is None else argv
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has seen enough; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (LbfastError, OSError) as failed:
        print(f"lbfast: {sentence(failed)}", file=sys.stderr)
        return FAILED
    return status


def sentence(failed: Exception) -> str:
    """Returns what went wrong, as one lower-case sentence."""
    if not isinstance(failed, OSError) or failed.strerror is None:
        return str(failed)
    text = failed.strerror[:1].lower() + failed.strerror[1:]
    if failed.filename is not None:
        text = f"{os.fsdecode(failed.filename)}: {text}"
    if failed.errno in (errno.EPERM, errno.EACCES) and "CAP_" not in text:
        text += " (it takes root, or CAP_NET_ADMIN and CAP_NET_RAW)"
    return text


def _dispatch(argv: Sequence[str]) -> int:
    tool = os.path.basename(argv[0])
    if tool in _TOOLS:
        from lbfast.cli.tool import run_as

        return run_as(tool, argv)
    if tool == "keepalived":
        _expect_stop()
        from lbfast.cli.keepalived import main as keepalived

        return keepalived(argv[1:])
    words = ["genhash", *argv[1:]] if tool == "genhash" else _take_name(argv[1:])
    if not words:
        sys.stderr.write(_usage())
        return USAGE_STATUS
    word = words[0]
    if word in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0
    if word in ("-v", "--version"):
        from lbfast import __version__

        print(f"lbfast {__version__}")
        return 0
    if word not in _present():
        return refuse("lbfast", f"unknown word {word!r}, known: {', '.join(_present())}")
    if word == "run":
        _expect_stop()
    status: int = import_module(WORDS[word].module).main(words[1:])
    return status


def _expect_stop() -> None:
    """Lets a director be stopped from now on: its modules take a while to load."""
    from lbfast.processes import early

    early.end_cleanly()


def _take_name(words: Sequence[str]) -> list[str]:
    """Puts --name where rundir finds it; returns the other words."""
    rest = list(words)
    while rest and (rest[0] == "--name" or rest[0].startswith("--name=")):
        _, equals, name = rest.pop(0).partition("=")
        if not equals:
            name = rest.pop(0) if rest else ""
        from lbfast.control.rundir import NAME_VARIABLE, check_name

        os.environ[NAME_VARIABLE] = check_name(name)
    return rest


def _present() -> list[str]:
    """Returns the words whose module exists."""
    from importlib.util import find_spec

    return [word for word, where in WORDS.items() if find_spec(where.module) is not None]


def _usage() -> str:
    rows = "".join(f"  {word:<12} {WORDS[word].purpose}\n" for word in _present())
    return (
        "usage: lbfast [--name NAME] WORD ...\n\n"
        f"{rows}\n"
        "  --name NAME  the director's name (default: its network namespace's; also LBFAST_NAME)\n"
        "  --version    what is installed\n\n"
        "Called as keepalived, ipvsadm, ipvsadm-save, ipvsadm-restore or genhash it behaves\n"
        "as those.\n"
    )
