"""Progress, away from the figures, and what is said in a sentence when it happens."""

from __future__ import annotations

import subprocess
import sys

from lbfast.errors import ControlError

# what the world does to a work
FAILURES = (OSError, RuntimeError, subprocess.SubprocessError, ControlError)


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)
