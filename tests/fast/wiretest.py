"""Builds and loads `_wiretest`, the tests-only extension around single functions.

It lies in build/wiretest, under a name made of what it depends on.  LBFAST_WIRETEST_CFLAGS adds
flags for the compiler, such as -fsanitize=address.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("tests/fast/_wiretest.pyx")
FLAGS = ["-O3", "-fno-strict-aliasing", "-fPIC", "-shared"]
DIRECTIVES = [
    *("boundscheck=False", "wraparound=False", "initializedcheck=False", "cdivision=True"),
    *("auto_pickle=False", "freethreading_compatible=True"),
]


def flags() -> list[str]:
    return FLAGS + os.environ.get("LBFAST_WIRETEST_CFLAGS", "").split()


def key() -> str:
    """Return a name for what the extension depends on."""
    digest = hashlib.sha256(" ".join([sys.version, *flags()]).encode())
    for path in [ROOT / SOURCE, *sorted((ROOT / "lbfast/_fast").glob("*.px[di]"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build(target: Path) -> None:
    """Translate and compile into `target`; raises CalledProcessError with the compilers' words."""
    c_file = target.with_suffix(".c")
    words = [word for directive in DIRECTIVES for word in ("-X", directive)]
    cython = [sys.executable, "-m", "cython", "-3", "-w", str(ROOT), *words]
    subprocess.run([*cython, str(SOURCE), "-o", str(c_file)], check=True)
    include = f"-I{sysconfig.get_path('include')}"
    unfinished = target.with_suffix(".new")
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *flags(), include, str(c_file), "-o", str(unfinished)], check=True)
    unfinished.rename(target)


@cache
def load() -> ModuleType:
    """Return the extension, built if need be; skips the test where there is no compiler."""
    if not shutil.which(os.environ.get("CC", "gcc")):
        pytest.skip("needs gcc")
    place = ROOT / "build" / "wiretest"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = place / key() / "_wiretest.so"
        if not target.exists():
            for old in place.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            target.parent.mkdir()
            build(target)
    spec = importlib.util.spec_from_file_location("_wiretest", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
