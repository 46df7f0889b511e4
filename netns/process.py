"""A process inside a namespace, its output in files."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from netns.wait import wait_for

# what starts another command: its first words, and how many it has
STARTERS = {("ip", "netns", "exec"): 4, ("taskset", "-c"): 3, ("chrt", "-f"): 3}


def signal_name(number: int) -> str:
    """Return the name of a signal, "signal 40" for one without."""
    return {each.value: each.name for each in signal.Signals}.get(number, f"signal {number}")


def title(argv: Sequence[str]) -> str:
    """Return program and sub-command of a command line, without what starts them."""
    words = list(argv)
    for starter, length in STARTERS.items():
        if tuple(words[: len(starter)]) == starter:
            words = words[length:]
    if words[1:2] == ["-m"]:  # python -m PACKAGE
        words = words[2:]
    sub = [word for word in words[1:2] if word.isalpha()]
    return " ".join([Path(words[0]).name, *sub])


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
                raise RuntimeError(self.how_it_ended())
            return False

        wait_for(seen, timeout_s, f"'{text}' from {' '.join(self.argv)}")

    def how_it_ended(self) -> str:
        """Return a sentence on an ended process: its status or signal, the end of its stderr."""
        status, said = self.popen.wait(), self.stderr().strip()[-500:]
        how = f"was killed by {signal_name(-status)}" if status < 0 else f"ended with {status}"
        return f"{title(self.argv)} {how}" + (f": {said}" if said else ", nothing on stderr")

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
