"""A process inside a namespace, its output in files."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from netns.wait import wait_for


class Process:
    """A process that was started here; only such ones are ever stopped."""

    def __init__(
        self, argv: Sequence[str], base: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `argv`; its output goes to `base`.out and `base`.err."""
        self.argv = list(argv)
        self.stdout_path = base.with_name(base.name + ".out")
        self.stderr_path = base.with_name(base.name + ".err")
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self.popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for whoever built the network
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait_for_line(self, text: str, timeout_s: float = 30) -> None:
        """Wait until `text` is in its output; RuntimeError if it ends before."""

        def seen() -> bool:
            if text in self.stderr() or text in self.stdout():
                return True
            if not self.alive():
                raise RuntimeError(
                    f"{self.argv[-1]}: ended with {self.popen.returncode}: {self.stderr()[-500:]}"
                )
            return False

        wait_for(seen, timeout_s, f"'{text}' from {' '.join(self.argv)}")

    def wait(self, timeout_s: float = 30) -> int:
        """Wait for its end; subprocess.TimeoutExpired if it does not come."""
        return self.popen.wait(timeout_s)

    def signal(self, number: int) -> None:
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, timeout_s: float = 5) -> int:
        """Ask it to end, insist after `timeout_s`; return its exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once, as a crash does."""
        self.signal(signal.SIGKILL)
        return self.popen.wait(10)
