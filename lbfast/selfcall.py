"""How lbfast calls itself as another process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "lbfast")


def environment() -> dict[str, str]:
    """Return the variables by which another process, started anywhere, finds this package."""
    package = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}
