"""Where a compiled scheduler finds what it is compiled against."""

from __future__ import annotations

from pathlib import Path

import lbfast


def get_include() -> str:
    """Returns the directory to be given to Cython as an include path.

    Below it are lbfast/_fast/types.pxd and lbfast/_fast/sched.pxd.
    """
    return str(Path(lbfast.__file__).resolve().parent.parent)
