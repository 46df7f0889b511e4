"""The one family of errors; raised where found, caught once at the edge."""

from __future__ import annotations

import os


class LbfastError(Exception):
    """Anything that lbfast itself finds wrong; its text is one lower-case sentence."""


class ConfigError(LbfastError):
    """A configuration says something that cannot be done."""


class ControlError(LbfastError):
    """The daemon cannot be reached, or cannot do what it was asked."""


class WireError(LbfastError):
    """Bytes from outside are not what their format says."""


class KernelError(LbfastError, OSError):
    """What the kernel's IPVS would refuse, with the errno it would give."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno, os.strerror(errno))
