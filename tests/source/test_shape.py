"""How files look: sizes, words that must not occur, what the README promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.source.files import text, tracked, with_suffix

MAX_FILE = 400
MAX_FUNCTION = 40
LONG = "# long: "  # a comment with the reason, in the file's head or at the function
PYTHON = with_suffix(".py")
CYTHON = with_suffix(".pyx", ".pxd", ".pxi")
CODE = [*PYTHON, *CYTHON]
_FUNCTION = re.compile(r"^( *)(?:cdef(?! class\b)|cpdef|def)\b[^=:#]*\(")
_OPEN_ENDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
_WORKPLACE = re.compile(
    r"/(?:work|root|home)/\w|shared/|\b(?:AI|LLM|Claude|Anthropic|ChatGPT|Copilot|subagent)\b"
)


def python_functions(source: str) -> list[tuple[int, int, str]]:
    """Return (first line, last line, name) of every function, the docstring not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.lineno
            if ast.get_docstring(node) is not None:
                start += (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            found.append((node.lineno, node.lineno + (node.end_lineno or 0) - start, node.name))
    return found


def cython_functions(source: str) -> list[tuple[int, int, str]]:
    """Return (first line, last line, signature) of every function, the docstring not counted."""
    lines = source.split("\n")
    found = []
    for first, line in enumerate(lines):
        match = _FUNCTION.match(line)
        body = signature_end(lines, first) if match else 0
        if not match or not lines[body - 1].split("#")[0].rstrip().endswith(":"):
            continue  # no function, or a declaration without a body
        last = body
        for number in range(body, len(lines)):
            if lines[number].strip() and indent(lines[number]) <= len(match[1]):
                break
            if lines[number].strip():
                last = number + 1
        found.append((first + 1, last - docstring_lines(lines, body), line.strip()))
    return found


def signature_end(lines: list[str], first: int) -> int:
    """Return the index of the line after the one that closes the signature's brackets."""
    depth = 0
    for number in range(first, len(lines)):
        code = lines[number].split("#")[0]
        depth += code.count("(") - code.count(")")
        if depth == 0:
            return number + 1
    return len(lines)


def indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def docstring_lines(lines: list[str], first: int) -> int:
    """Return how many lines from `first` on are a docstring."""
    if first >= len(lines) or not lines[first].lstrip().startswith('"""'):
        return 0
    for last in range(first, len(lines)):
        if lines[last].rstrip().endswith('"""') and (last > first or lines[last].count('"""') > 1):
            return last - first + 1
    return 0


def excused(source: str, first: int, last: int) -> bool:
    return any(LONG in line for line in source.split("\n")[max(0, first - 3) : last])


@pytest.mark.parametrize("path", CODE, ids=str)
def test_file_is_short_or_says_why_not(path: Path) -> None:
    source = text(path)
    assert source.count("\n") <= MAX_FILE or excused(source, 0, 40)


@pytest.mark.parametrize("path", CODE, ids=str)
def test_functions_are_short_or_say_why_not(path: Path) -> None:
    source = text(path)
    functions = python_functions(source) if path.suffix == ".py" else cython_functions(source)
    long = [
        f"{path}:{first} {name}: {last - first + 1} lines"
        for first, last, name in functions
        if last - first + 1 > MAX_FUNCTION and not excused(source, first, last)
    ]
    assert not long


def test_function_lengths_are_measured_by_body() -> None:
    source = 'cdef int f(\n    int a,\n) noexcept nogil:\n    """Doc.\n\n    More.\n    """\n'
    source += "    cdef int b = a\n    return b\n\n\ncdef int g(int a) nogil\n"
    assert cython_functions(source) == [(1, 5, "cdef int f(")]
    assert python_functions('def f(a):\n    """Doc."""\n    return a\n') == [(1, 2, "f")]


@pytest.mark.parametrize("path", tracked(), ids=str)
def test_nothing_is_left_open_and_no_workplace_is_named(path: Path) -> None:
    try:
        lines = text(path).split("\n")
    except UnicodeDecodeError:
        return  # a recording; names no one
    found = [
        f"{path}:{number} {line.strip()[:80]}"
        for number, line in enumerate(lines, 1)
        if _OPEN_ENDS.search(line) or _WORKPLACE.search(line)
    ]
    assert not found or path == Path("tests/source/test_shape.py")


def test_no_test_sleeps() -> None:
    sleep = re.compile(r"\b(time|asyncio)\.sleep\((?!0\))")
    found = [path for path in PYTHON if path.parts[0] == "tests" and sleep.search(text(path))]
    assert not found


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_readme_shows_the_two_commands(command: str) -> None:
    assert f"\n{command}\n" in text(Path("README.md"))


def test_ci_runs_what_the_readme_says() -> None:
    assert "\nmake test\n" in text(Path(".ci/run"))
