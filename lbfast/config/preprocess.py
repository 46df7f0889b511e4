"""Lines of files to statements and braces: comments, includes, conditions, definitions, loops.

The stages and their order are those of spec 1.1; what a statement means is not known here.
"""

from __future__ import annotations

import enum
import posixpath
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lbfast.config import include
from lbfast.config.findings import Findings, Place
from lbfast.config.host import Host
from lbfast.config.loops import LoopError, expand_loop
from lbfast.config.words import BANG, BLANKS, HASH, has_open_quote

_DEFINITION = re.compile(r"\$([A-Za-z_]\w*)=(.*)$", re.ASCII | re.DOTALL)
_REFERENCE = re.compile(
    r"\$\{(?P<call>_RANDOM|_ENV)(?P<args>(?: +[^ }]+)*) *\}"
    r"|\$\{(?P<braced>[A-Za-z_]\w*)\}"
    r"|\$(?P<bare>[A-Za-z_]\w*)(?=[\s),]|$)",
    re.ASCII,
)
_MAY_COMMENT = re.compile(r"[#!]")
_CONDITION = re.compile(r"@(\^?)(\S*)\s*(.*)$", re.DOTALL)
OURS = "lbfast"
_MAX_DEPTH = 64
_BUFFER = 1023  # bytes that keepalived 2.2 takes for a line; what is behind is the next one
_MAX_TEXT = 1 << 16  # characters of a line once its parameters are replaced
_MAX_LINES = 1 << 17  # that one line of a file may become
_RANDOM_MAX = 32767

Names = Mapping[str, str]


class Kind(enum.Enum):
    STATEMENT = "statement"
    OPEN = "{"
    CLOSE = "}"
    END = "end of file"


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    place: Place


def strip_comment(text: str, *, has_escapes: bool = True) -> str:
    """Returns the line without its comment and the blanks around it.

    # and ! begin one outside double quotes unless a backslash stands before them.
    """
    if not _MAY_COMMENT.search(text):
        return text.strip(BLANKS)
    kept: list[str] = []
    is_quoted = False
    at = 0
    while at < len(text):
        char = text[at]
        if char == '"':
            is_quoted = not is_quoted
        elif (
            has_escapes and not is_quoted and char == "\\" and text[at + 1 : at + 2] in ("#", "!")
        ):
            at += 1
            char = HASH if text[at] == "#" else BANG
        elif not is_quoted and char in "#!":
            break
        kept.append(char)
        at += 1
    return "".join(kept).strip(BLANKS)


def _first_brace(text: str) -> int | None:
    """Returns where the first brace outside quotes is, None without one."""
    if "{" not in text and "}" not in text:
        return None
    is_quoted = False
    for at, char in enumerate(text):
        if char == '"':
            is_quoted = not is_quoted
        elif char in "{}" and not is_quoted:
            return at
    return None


@dataclass(slots=True)
class Preprocessor:
    """Reads one configuration; tokens come in the order of its text.

    What keepalived 2.2 reads otherwise is noted as a `difference`; `as_keepalived` does as it
    does, to find out what its check says.
    """

    host: Host
    findings: Findings
    config_id: str
    as_keepalived: bool = False
    difference: tuple[Place, str] | None = None  # the first, and what it is
    includes: include.Strictness = field(default_factory=include.Strictness)
    random: random.Random = field(default_factory=random.Random)
    _definitions: dict[str, list[str]] = field(default_factory=dict)
    _unfinished: list[str] | None = None  # lines of a definition that goes on
    _files: list[str] = field(default_factory=list)
    _made: int = 0  # lines out of the present one

    def read(self, path: str) -> Iterator[Token]:
        """Yields the tokens of a file and of those that it includes; OSError for the first."""
        lines = self.host.read_lines(path)
        self._files.append(posixpath.normpath(path))
        is_strict = self.includes.default
        for number, line in enumerate(lines, 1):
            for part in self._parts(line, Place(path, number)):
                yield from self._physical(part, Place(path, number))
        self.includes.default = is_strict
        self._files.pop()

    def differ(self, place: Place, why: str) -> None:
        """Notes what keepalived 2.2 reads otherwise."""
        self.difference = self.difference or (place, why)

    def _parts(self, line: str, place: Place) -> list[str]:
        """Returns the line, or the lines that keepalived makes of one that is too long."""
        line, nul, _ = line.partition("\0")
        if nul:
            self.findings.note(place, "a NUL byte", "what follows it in the line is ignored")
        if len(line) * 4 < _BUFFER:
            return [line]
        data = line.encode("utf-8", "surrogateescape")
        if len(data) > _BUFFER:
            self.differ(place, f"more than {_BUFFER} bytes are another line to it")
        if not self.as_keepalived:
            return [line]
        return [
            data[at : at + _BUFFER].decode("utf-8", "surrogateescape")
            for at in range(0, len(data), _BUFFER)
        ]

    def _bare(self, line: str, place: Place) -> str:
        """Returns the line without comment; blanks before a last backslash go as well."""
        if "\\#" in line or "\\!" in line:
            self.differ(place, "a backslash does not take # or ! its meaning there")
        text = strip_comment(line, has_escapes=not self.as_keepalived)
        return text[:-1].rstrip(BLANKS) + "\\" if text.endswith("\\") else text

    def _physical(self, line: str, place: Place) -> Iterator[Token]:
        text = self._bare(line, place)
        self._made = 0
        if self._unfinished is not None:
            self._go_on(text)
        elif text:
            if has_open_quote(text):
                self.findings.error(place, f"unmatched quote in {text!r}", 'expected another "')
            yield from self._logical(text, place, {}, 0)

    def _go_on(self, text: str) -> None:
        assert self._unfinished is not None
        if text.endswith("\\"):
            self._unfinished.append(text[:-1])
        else:
            self._unfinished.append(text)
            self._unfinished = None

    def _include(self, keyword: str, name: str, place: Place) -> Iterator[Token]:
        """Reads the files that a name stands for: all of the line, whose quotes do not quote."""
        if not name:
            self.findings.error(place, f"{keyword} alone", "expected a file name")
            return
        for path in include.find(self.host, keyword, name, self.includes, place, self.findings):
            if not self._may_go_deeper(keyword, path, place):
                continue
            try:
                yield from self.read(path)
            except OSError as failed:
                self.includes.report_unreadable(
                    keyword, self.findings, place, f"{path}: {failed.strerror}"
                )

    def _may_go_deeper(self, keyword: str, path: str, place: Place) -> bool:
        """Returns whether a file may be read inside those that are being read.

        A file inside itself is read once more, so that what it has twice is said; keepalived goes
        on until it has no more descriptors, and takes the next one for a file it cannot read.
        """
        if self._files.count(posixpath.normpath(path)) > 1:
            self.includes.report_unreadable(
                keyword, self.findings, place, f"{keyword} {path}: the file includes itself",
                "expected an end to it; not read once more",
            )  # fmt: skip
            return False
        if len(self._files) >= _MAX_DEPTH:
            self.findings.error(
                place, f"{path}: included too deep", f"at most {_MAX_DEPTH} levels; not read"
            )
            return False
        return True

    def _logical(self, text: str, place: Place, names: Names, depth: int) -> Iterator[Token]:
        """Takes a line without comment through the stages 4 to 8."""
        self._made += 1
        if self._made > _MAX_LINES:
            raise self.findings.fatal(
                place, f"more than {_MAX_LINES} lines out of one", "reading ends here"
            )
        if depth > _MAX_DEPTH:
            self.findings.error(place, "a parameter refers to itself", "expected an end to it")
            return
        if text.startswith("@"):
            kept, is_ours = self._condition(text)
            if kept:
                place = Place(place.file, place.line, is_ours or place.is_ours)
                yield from self._logical(kept, place, names, depth + 1)
        elif definition := _DEFINITION.match(text):
            self._define(definition[1], definition[2].strip(), place)
        elif text.startswith("~"):
            yield from self._loop(text, place, names, depth)
        else:
            yield from self._replace(text, place, names, depth)

    def _condition(self, text: str) -> tuple[str, bool]:
        """Returns what is left of the line, and whether keepalived passes it over."""
        match = _CONDITION.match(text)
        assert match is not None
        is_ours = match[2] == OURS and not self.as_keepalived
        is_wanted = (match[2] == self.config_id or is_ours) != bool(match[1])
        return match[3] if is_wanted else "", is_ours

    def _define(self, name: str, value: str, place: Place) -> None:
        if name.startswith("_"):
            self.findings.note(
                place, f"definition of ${name}", "names with a leading _ are keepalived's own"
            )
        if value.endswith("\\"):
            first = value[:-1]
            self._unfinished = self._definitions[name] = [first] if first else []
        else:
            self._definitions[name] = [value]

    def _loop(self, text: str, place: Place, names: Names, depth: int) -> Iterator[Token]:
        try:
            rounds, rest = expand_loop(self._substitute_head(text, names))
        except LoopError as wrong:
            self.findings.error(place, str(wrong), "expected ~SEQ(name, ...) or ~LST(name, ...)")
            return
        for round_names in rounds:
            yield from self._logical(rest, place, {**names, **round_names}, depth + 1)

    def _substitute_head(self, text: str, names: Names) -> str:
        """Replaces parameters inside the parentheses of a loop."""
        head, parenthesis, rest = text.partition(")")
        lines = self._substitute(head, Place(""), names)
        return " ".join(lines) + parenthesis + rest

    def _replace(self, text: str, place: Place, names: Names, depth: int) -> Iterator[Token]:
        """Replaces parameters; a line that changed goes through the stages once more."""
        lines = self._substitute(text, place, names)
        if max(map(len, lines)) > _MAX_TEXT:
            self.findings.error(place, "parameters make it too long", f"at most {_MAX_TEXT}")
            return
        if lines == [text]:
            yield from self._split(text, place, names, depth)
            return
        for line in lines:
            if bare := self._bare(line, place):
                yield from self._logical(bare, place, names, depth + 1)

    def _substitute(self, text: str, place: Place, names: Names) -> list[str]:
        """Returns the text with every known reference replaced once, as one or more lines."""
        if "$" not in text:
            return [text]
        lines = [""]
        end = 0
        for match in _REFERENCE.finditer(text):
            value = self._value(match, place, names)
            if value is None or (len(value) > 1 and match.end() != len(text)):
                continue  # of several lines: only where nothing follows
            if len(lines[-1]) + match.start() - end + len(value[0]) > _BUFFER:
                self.differ(place, f"it replaces parameters up to {_BUFFER} bytes only")
                if self.as_keepalived:
                    continue
            lines[-1] += text[end : match.start()] + value[0]
            lines += value[1:]
            end = match.end()
        lines[-1] += text[end:]
        return lines

    def _value(self, match: re.Match[str], place: Place, names: Names) -> list[str] | None:
        """Returns the lines that a reference stands for, None if it stands for itself."""
        if match["call"] == "_ENV":
            self.differ(place, "${_ENV ...} is newer than keepalived 2.2")
        if match["call"]:
            return self._call(match["call"], match["args"].split())
        name = match["braced"] or match["bare"]
        if name in names:
            return [names[name]]
        if name in ("_HASH", "_BANG"):
            self.differ(place, f"a comment begins at ${{{name}}} there")
        if found := self._built_in(name, place):
            return [found]
        if match["bare"] == "_RANDOM":
            return self._call("_RANDOM", [])
        value = self._definitions.get(name)
        return (value or [""]) if value is not None else None

    def _built_in(self, name: str, place: Place) -> str | None:
        known = {
            "_PWD": place.file.rpartition("/")[0] or ".",
            "_INSTANCE": self.config_id,
            "_HASH": "#" if self.as_keepalived else HASH,
            "_BANG": "!" if self.as_keepalived else BANG,
        }
        return known.get(name)

    def _call(self, name: str, args: list[str]) -> list[str] | None:
        if name == "_ENV":
            value = self.host.environment(args[0]) if args and not self.as_keepalived else None
            return None if value is None else [value]
        args = args[:2]
        if not all(arg.isascii() and arg.isdigit() for arg in args):
            return None
        low, high = ([int(arg) for arg in args] + [0, _RANDOM_MAX][len(args) :])[:2]
        return [str(self.random.randint(low, max(low, high)))]

    def _split(self, text: str, place: Place, names: Names, depth: int) -> Iterator[Token]:
        """Cuts at the first brace outside quotes; what follows it is a new line.

        The name behind an include may have braces of its own.
        """
        keyword, _, rest = text.replace("\t", " ").partition(" ")
        if keyword in include.KEYWORDS:
            yield from self._include(keyword, rest.strip(BLANKS), place)
            return
        while (at := _first_brace(text)) is not None:
            if before := text[:at].strip():
                yield Token(Kind.STATEMENT, before, place)
            yield Token(Kind(text[at]), text[at], place)
            text = text[at + 1 :].strip(BLANKS)
            if text.startswith(("@", "$", "~", "include")):
                yield from self._logical(text, place, names, depth)
                return
        if text:
            yield Token(Kind.STATEMENT, text, place)
