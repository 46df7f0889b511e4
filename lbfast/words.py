"""Command lines that are wrong: how every lbfast command says so, and ends."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

USAGE_STATUS = 2
_HEAD, _TAIL = 300, 100  # characters of a sentence that quotes something endless


def refuse(command: str, sentence: str) -> int:
    """Says what is wrong with a command's words; returns the exit status."""
    if len(sentence) > _HEAD + _TAIL:
        sentence = f"{sentence[:_HEAD]}...{sentence[-_TAIL:]}"
    print(f"{command}: {sentence}", file=sys.stderr)
    return USAGE_STATUS


class Parser(argparse.ArgumentParser):
    """Answers wrong words by one sentence; what there is, --help says."""

    def error(self, message: str) -> NoReturn:
        """Raises SystemExit."""
        raise SystemExit(refuse(self.prog, message.removeprefix("argument ")))
