"""Rules of the data path that no linter knows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source.files import ROOT, text, with_suffix

CYTHON = with_suffix(".pyx", ".pxd", ".pxi")
ALLOWED = Path("tests/source/out_of_line.txt")
_SIGNATURE = re.compile(r"^ *(?:cdef|cpdef|ctypedef)\b[^:=#]*?\([^:#]*\)[^:#]*?\bnogil\b", re.M)
_INLINE = re.compile(r"^ *cdef inline\b[^(]*?(\w+)\(", re.M)
_SAYS = re.compile(r"\b(noexcept|except)\b")


def silent_signatures(source: str) -> list[str]:
    """Return the nogil signatures that leave open what happens on an exception."""
    return [match[0] for match in _SIGNATURE.finditer(source) if not _SAYS.search(match[0])]


@pytest.mark.parametrize("path", CYTHON, ids=str)
def test_every_nogil_signature_says_what_an_exception_does(path: Path) -> None:
    assert not silent_signatures(text(path))


def test_a_silent_signature_is_seen_over_several_lines() -> None:
    bad = "cdef inline int f(\n    int a,\n) nogil:\n"
    assert silent_signatures(bad) == [bad[:-2]]
    assert not silent_signatures(bad.replace("nogil", "noexcept nogil"))
    assert not silent_signatures("cdef int g(int a):\n    with nogil:\n        pass\n")


def test_cython_has_no_performance_hint(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "cython",
                "-3",
                "-I",
                ".",
                "-X",
                "freethreading_compatible=True",
            ),
            *("lbfast/_fastpath.pyx", "-o", str(tmp_path / "out.c")),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    log = done.stdout + done.stderr
    assert "performance hint" not in log
    assert "warning" not in log.lower()


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm (binutils)")
def test_what_says_inline_is_inlined_unless_listed() -> None:
    from lbfast import _fastpath

    symbols = subprocess.run(
        ["nm", _fastpath.__file__], check=True, capture_output=True, text=True
    ).stdout
    copies = {demangle(name) for name in re.findall(r" t __pyx_f_(\S+)", symbols)}
    inline = {name for path in CYTHON for name in _INLINE.findall(text(path))}
    lines = (line.split("#")[0].strip() for line in text(ALLOWED).split("\n"))
    allowed = re.compile("|".join(line for line in lines if line))
    assert not sorted(name for name in copies & inline if not allowed.fullmatch(name))


def demangle(symbol: str) -> str:
    """Return a function's own name: no module, none of the compiler's suffixes."""
    name = symbol.split(".")[0]
    while match := re.match(r"\d+", name):
        name = name[len(match[0]) + int(match[0]) + 1 :]
    return name


def test_demangle_keeps_the_function_only() -> None:
    assert demangle("6lbfast_5_fast_4wire_load16") == "load16"
    assert demangle("6lbfast_9_fastpath_6Engine_grow.constprop.0") == "grow"
