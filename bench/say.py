"""Progress, away from the figures."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)
