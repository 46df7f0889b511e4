"""The parent and its children, without any of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from lbfast.model.configuration import Configuration
from lbfast.processes import launch
from lbfast.processes.parent import CHECKER, VRRP, Family, Settings


@pytest.mark.parametrize("kind", [VRRP, CHECKER])
def test_child_is_not_late_in_the_moment_in_which_it_begins(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent may look at it before its channel is open; the last life does not count."""

    async def look() -> tuple[bool, bool, bool]:
        family = Family(Settings("d", str(tmp_path / "control"), {}), Configuration())
        child = family.children[kind]
        child.ready.set()
        child.watch.started_s = child.watch.asked_s = -1000.0
        seen: list[tuple[bool, bool, bool]] = []

        def begin(kind: str, fd: int) -> None:
            now_s = time.monotonic()
            seen.append(
                (child.ready.is_set(), child.watch.is_slow(now_s), child.watch.silent_s(now_s) > 0)
            )
            raise OSError("far enough")

        monkeypatch.setattr(launch, "begin", begin)
        with pytest.raises(OSError, match="far enough"):
            await family._spawn(child)
        return seen[0]

    assert asyncio.run(look()) == (False, False, False)
