"""Schedulers compiled elsewhere: the example, built out of the tree as a user builds it."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lbfast.control.tables import Engine, Tables
from lbfast.lab import Found, Trial, from_file, get_include

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/examples/hrw"
SERVERS = {f"10.2.0.{n}": 1 for n in range(1, 6)}
CLIENTS = [f"10.1.{n}.{n}" for n in range(1, 40)]
MASK = (1 << 64) - 1


def build(source: Path, headers: Path) -> Path:
    """Build the example in a copy of its directory; return the compiled file."""
    words = [sys.executable, "-P", "setup.py", "-q", "build_ext", "--inplace"]
    environment = {**os.environ, "PYTHONPATH": str(headers), "CFLAGS": "-O1"}
    done = subprocess.run(
        words, cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = source.glob("*.so")
    return built


@pytest.fixture(scope="module")
def hrw(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The example, compiled against the files that a wheel would install, and nothing else."""
    place = tmp_path_factory.mktemp("elsewhere")
    installed = place / "installed"
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(installed)],
        cwd=ROOT, env={**os.environ, "LBFAST_BUILD": "none"}, check=True, capture_output=True,
    )  # fmt: skip
    headers = sorted(path.name for path in (installed / "lbfast/_fast").iterdir())
    assert headers == ["sched.pxd", "types.pxd"]
    source = place / "source"
    shutil.copytree(EXAMPLE, source)
    # the extension itself is the one at hand
    shutil.copy(next((ROOT / "lbfast").glob("_fastpath*.so")), installed / "lbfast")
    (found,) = from_file(str(build(source, installed)))
    return found


def mixed(x: int, address: str) -> int:
    words = (int.from_bytes(ipaddress.ip_address(address).packed, "little"), 0, 0, 0)
    for word in words:
        x = (x ^ word) * 0x9E3779B97F4A7C15 & MASK
        x ^= x >> 29
    return x


def expected(client: str, servers: list[str]) -> str:
    """The rule of the example, in Python."""
    port = int.from_bytes((80).to_bytes(2, "big"), "little")
    return max(servers, key=lambda server: mixed(mixed(port, client), server))


def test_it_picks_as_its_rule_says_and_keeps_clients(hrw: Found) -> None:
    trial = Trial(hrw.scheduler, SERVERS)
    first = {client: trial.connect(client, 2000) for client in CLIENTS}
    assert first == {client: expected(client, list(SERVERS)) for client in CLIENTS}
    assert len(set(first.values())) == len(SERVERS)
    assert {client: trial.connect(client, 2001) for client in CLIENTS} == first
    assert trial.engine.schedulers()[b"hrw"][:2] == (
        True,
        {"picked": 2 * len(CLIENTS), "stood-in": 0, "raised": 0, "wrong": 0, "late": 0, "lost": 0},
    )


def test_it_follows_weights_and_removals(hrw: Found) -> None:
    trial = Trial(hrw.scheduler, SERVERS)
    left = list(SERVERS)
    trial.weigh(left.pop(), 0)
    trial.remove(left.pop())
    picked = {client: trial.connect(client, 2000) for client in CLIENTS}
    assert picked == {client: expected(client, left) for client in CLIENTS}


def test_get_include_is_where_the_headers_are() -> None:
    for name in ("types.pxd", "sched.pxd"):
        assert Path(get_include(), "lbfast/_fast", name).is_file()


# ---------------------------------------------------------------- capsules that do not fit

SIZE = 32 + 8 * 8  # of sched_capsule_t: six numbers, the layout, eight pointers
PICK_AT = 32 + 8 * 4
PICK_T = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
KEPT: list[object] = []  # what capsules point to


def altered(found: Found, at: int, value: bytes, name: bytes = b"lbfast.scheduler") -> object:
    """Return a copy of a capsule with other bytes somewhere."""
    old = ctypes.string_at(_pointer(found.scheduler, b"lbfast.scheduler"), SIZE)
    copy = ctypes.create_string_buffer(old[:at] + value + old[at + len(value) :], SIZE)
    KEPT.extend((copy, name))
    return _new(ctypes.addressof(copy), name, None)


def number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        pytest.param(0, number(7), r"made for ABI 7, expected \d+: compile it with", id="ABI"),
        pytest.param(4, number(8), r"a sched_capsule_t of 8 bytes, expected \d+", id="capsule"),
        pytest.param(8, number(8), r"made for a dest_t of 8 bytes, expected \d+:", id="dest_t"),
        pytest.param(12, number(8), "made for a sched_t of 8 bytes", id="sched_t"),
        pytest.param(16, number(8), "made for a pkt_t of 8 bytes", id="pkt_t"),
        pytest.param(20, number(8), "made for a worker_t of 8 bytes", id="worker_t"),
        pytest.param(24, number(8), "made for records of another layout", id="layout"),
        pytest.param(PICK_AT, bytes(8), "without one of the hooks start, stop", id="no pick"),
        pytest.param(32, bytes(8), "scheduler name '': expected 1 to 15 printable", id="no name"),
    ],
)
def test_a_capsule_that_does_not_fit_is_refused(
    hrw: Found, at: int, value: bytes, sentence: str
) -> None:
    tables = Tables(Engine(seed=1))
    with pytest.raises(ValueError, match=sentence) as refused:
        tables.add_scheduler("", altered(hrw, at, value))
    assert "\n" not in str(refused.value)
    assert tables.engine.schedulers() == {}
    assert tables.add_scheduler("", hrw.scheduler) == "hrw"


def test_a_capsule_of_another_name_and_no_capsule_are_refused(hrw: Found) -> None:
    tables = Tables(Engine(seed=1))
    with pytest.raises(ValueError, match=r"capsule b'other', expected b'lbfast.scheduler'"):
        tables.add_scheduler("", altered(hrw, 0, b"", b"other"))
    with pytest.raises(TypeError, match="42 is no scheduler, expected a capsule"):
        tables.add_scheduler("", 42)


@pytest.mark.parametrize("answer", [63, 64, 1 << 30, -2], ids=["free", "beyond", "far", "below"])
def test_an_index_that_is_no_server_is_counted_and_refused(hrw: Found, answer: int) -> None:
    pick = PICK_T(lambda service, packet, worker: answer)
    KEPT.append(pick)
    address = ctypes.cast(pick, ctypes.c_void_p).value or 0
    trial = Trial(altered(hrw, PICK_AT, address.to_bytes(8, sys.byteorder)), SERVERS)
    assert trial.connect("10.1.0.1", 2000) is None
    counts = trial.engine.schedulers()[b"hrw"][1]
    assert (counts["picked"], counts["wrong"]) == (0, 1)
