"""Which lbfast and which peers are measured."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# what makes a program tell its version
ASK = {
    "haproxy": "-v",
    "nginx": "-v",
    "nft": "--version",
    "ipvsadm": "--version",
    "wrk": "-v",
    "iperf3": "--version",
}


def said(words: Sequence[str]) -> str:
    """Return the first line that a command prints, on stdout or else stderr; empty without one."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    return (done.stdout.strip() or done.stderr.strip()).partition("\n")[0]


def version_in(line: str) -> str:
    """Return the version number in a line, all of it where there is none."""
    found = re.search(r"\d+\.\d[\w.+~-]*", line)
    return found[0] if found else line


@functools.cache
def lbfast_version(root: Path = ROOT) -> str:
    """Return the commit, "-dirty" if files differ from it; the version outside a repository."""
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    if (root / ".git").exists() and shutil.which("git"):
        done = subprocess.run(git, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode == 0:
            return done.stdout.strip()
    return metadata.version("lbfast")


@functools.cache
def peer_versions() -> dict[str, str]:
    """Return the version of every peer and tool that is installed, by program."""
    return {
        name: version_in(said([name, word])) for name, word in ASK.items() if shutil.which(name)
    }
