"""Coverage of the data path: Cython's plugin, told where the one C file is.

The stock plugin looks for a C file beside each source and knows which .pxd went into which C file
only once it has seen the .pyx, so that a report fails or not by the order of files.
"""

from __future__ import annotations

from pathlib import Path

from coverage.plugin_support import Plugins
from Cython.Coverage import Plugin

ROOT = Path(__file__).resolve().parent.parent
C_FILE = ROOT / "build/coverage/c/lbfast/_fastpath.c"
SUFFIXES = (".pyx", ".pxd", ".pxi")


class FastpathPlugin(Plugin):  # type: ignore[misc]
    """Reports the lines of _fastpath.pyx and of everything compiled into it."""

    def _find_source_files(self, filename: str) -> tuple[str | None, None]:
        ours = filename.startswith(f"{ROOT}/lbfast/") and filename.endswith(SUFFIXES)
        return (str(C_FILE), None) if ours else (None, None)


def coverage_init(registry: Plugins, options: dict[str, str]) -> None:
    """Register the plugin with coverage."""
    plugin = FastpathPlugin()
    registry.add_file_tracer(plugin)
    registry.add_configurer(plugin)
