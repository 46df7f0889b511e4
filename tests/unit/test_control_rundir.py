"""Where a director keeps its socket, and that only one can have the place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.control import rundir
from lbfast.errors import ControlError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    return {rundir.RUN_VARIABLE: str(place)}


def test_name_comes_from_the_environment_or_the_network_namespace() -> None:
    assert rundir.director_name({rundir.NAME_VARIABLE: "blue"}) == "blue"
    own = rundir.director_name({})
    assert own == "main" or own.startswith("ns-")
    assert own == rundir.network_namespace_name()


@pytest.mark.parametrize("name", ["..", ".x", "a/b", "a b", "x" * 33, "-x", "é"])
def test_name_that_could_leave_the_directory_is_refused(name: str) -> None:
    with pytest.raises(ControlError, match="name"):
        rundir.director_name({rundir.NAME_VARIABLE: name})


def test_default_place_is_under_run() -> None:
    assert str(rundir.control_path("main", {})) == "/run/lbfast/main/control.sock"


def test_claim_makes_a_private_directory_with_the_pid(environ: dict[str, str]) -> None:
    claim = rundir.claim("blue", environ)
    assert claim.path.stat().st_mode & 0o777 == 0o700
    assert (claim.path / "pid").read_text() == f"{os.getpid()}\n"
    assert claim.control == rundir.control_path("blue", environ)
    claim.control.touch()
    claim.release()
    claim.release()
    assert not claim.path.exists()


def test_second_claim_of_a_name_is_refused_with_the_pid(environ: dict[str, str]) -> None:
    first = rundir.claim("blue", environ)
    with pytest.raises(ControlError, match=f"'blue' runs already, pid {os.getpid()}"):
        rundir.claim("blue", environ)
    rundir.claim("green", environ).release()
    first.release()
    rundir.claim("blue", environ).release()


def test_claim_of_a_killed_process_is_free(environ: dict[str, str]) -> None:
    program = (
        "import os, signal; from lbfast.control import rundir; rundir.claim('blue');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **environ}, check=False)
    assert (rundir.run_directory("blue", environ) / "pid").exists()
    rundir.claim("blue", environ).release()


def test_claim_in_a_directory_others_may_write_is_refused(environ: dict[str, str]) -> None:
    path = rundir.run_directory("blue", environ)
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(ControlError, match="others may write"):
        rundir.claim("blue", environ)


def test_claim_through_a_link_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    rundir.run_directory("blue", environ).symlink_to(tmp_path)
    with pytest.raises(ControlError, match="not a directory"):
        rundir.claim("blue", environ)


def test_claim_without_a_place_to_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no such directory"):
        rundir.claim("blue", {rundir.RUN_VARIABLE: str(tmp_path / "no" / "place")})
