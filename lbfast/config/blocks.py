"""What a table of keywords is made of, and the loader that walks a file by such tables.

A block's statements fill a `Draft`; what the values mean together is judged afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lbfast.config.findings import Fatal, Findings, Place
from lbfast.config.host import Host
from lbfast.config.preprocess import Kind, Preprocessor, Token
from lbfast.config.values import Bad, Missing, Read, Statement, statement

_COUNT = itertools.count()
# what editors put before a file, as it is read; keepalived takes it for a part of the first word
_MARKS = {
    mark.decode("utf-8", "surrogateescape"): name
    for mark, name in (
        (b"\xef\xbb\xbf", "a byte order mark"),
        (b"\xff\xfe", "a byte order mark of UTF-16"),
        (b"\xfe\xff", "a byte order mark of UTF-16"),
    )
}


@dataclass(slots=True)
class Draft:
    """A block as it was written: values by field name, and where each was given."""

    place: Place
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    items: dict[str, list[Place]] = field(default_factory=dict)  # of the items of a list
    order: int = field(default_factory=_COUNT.__next__)  # of blocks: in which they began

    def put(self, name: str, value: object, place: Place) -> None:
        self.values[name] = value
        self.places[name] = place

    def add(self, name: str, item: object, place: Place) -> None:
        self.begin(name, place)
        self.values[name].append(item)
        self.items.setdefault(name, []).append(place)

    def begin(self, name: str, place: Place) -> None:
        """Makes the field a list, if it is none yet: an empty block is a block."""
        self.values.setdefault(name, [])
        self.places.setdefault(name, place)

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def drop(self, name: str) -> None:
        self.values.pop(name, None)

    def at(self, name: str) -> Place:
        """Returns where a field was given, or where the block begins."""
        return self.places.get(name, self.place)

    def __contains__(self, name: str) -> bool:
        return name in self.values


class Row(Protocol):
    """What a keyword does."""

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None: ...


Table = Mapping[str, Row]


class Loader:
    """Walks the tokens of one configuration.

    A block that nobody expects is skipped whole.  keepalived passes over its first brace only,
    takes what is inside for the block around it, and the inner brace for the outer one.
    """

    def __init__(self, source: Preprocessor, path: str) -> None:
        self.findings: Findings = source.findings
        self.host: Host = source.host
        self.source = source
        self._tokens: Iterator[Token] = source.read(path)
        self._ahead: Token | None = None
        self._last = Place(path)
        self._noted: set[str] = set()
        self._depth = 0
        self.seen: set[str] = set()  # blocks of which there is one

    # ---- tokens

    def _next(self) -> Token:
        if self._ahead is not None:
            token, self._ahead = self._ahead, None
        else:
            token = next(self._tokens, Token(Kind.END, "", self._last))
        self._last = token.place
        self._count(token)
        return token

    def _count(self, token: Token) -> None:
        """Counts braces: as keepalived does, whatever blocks they belong to."""
        if token.kind is Kind.OPEN:
            self._depth += 1
        elif token.kind is Kind.CLOSE:
            if self._depth == 0:
                self.findings.error(token.place, "'}' too many", "ignored")
            self._depth = max(self._depth - 1, 0)
        elif token.kind is Kind.END and self._depth:
            self.findings.error(token.place, f"{self._depth} '}}' missing", "blocks are closed")
            self._depth = 0

    def _peek(self) -> Token:
        if self._ahead is None:
            self._ahead = next(self._tokens, Token(Kind.END, "", self._last))
        return self._ahead

    def has_block(self) -> bool:
        """Returns whether a brace comes next that begins a block."""
        return self._peek().kind is Kind.OPEN

    def open_block(self, given: Statement, *, needed: bool = True) -> bool:
        """Takes the brace that begins a block; its absence is reported where it is `needed`.

        At the end of everything nothing more is said.
        """
        if self.has_block():
            self._next()
            return True
        if needed and self._peek().kind is not Kind.END:
            self.findings.error(
                self._peek().place, f"no '{{' after {given.keyword}", "expected the block's begin"
            )
        return False

    def skip_block(self) -> None:
        """Passes over what follows up to the brace that closes a block already begun."""
        depth = 1
        while depth:
            token = self._next()
            depth += {Kind.OPEN: 1, Kind.CLOSE: -1, Kind.END: -depth}.get(token.kind, 0)

    def skip_head(self) -> None:
        """Passes over the block that follows a head which is wrong, if there is one."""
        if self.has_block():
            self._next()
            self.skip_block()

    def _skip_unexpected(self) -> None:
        """Passes over a block already begun that nobody expects."""
        self.source.differ(self._last, "it reads on in a block that it does not expect")
        if not self.source.as_keepalived:
            self.skip_block()

    # ---- blocks

    def load(self, table: Table, draft: Draft, *, is_top: bool = False) -> None:
        """Reads statements up to the end of the block, or of everything."""
        while True:
            token = self._next()
            if token.kind is Kind.STATEMENT:
                self._statement(table, draft, token)
            elif token.kind is Kind.OPEN:
                self.findings.error(token.place, "'{' without a block", "expected a keyword")
                self._skip_unexpected()
            elif token.kind is Kind.END or not is_top:
                return

    def _statement(self, table: Table, draft: Draft, token: Token) -> None:
        given = statement(token.text, token.place)
        if not given.words:
            return  # a quote that is not closed: reported already
        row = table.get(given.keyword)
        if row is None:
            self.unknown(given)
            return
        try:
            row.apply(self, draft, given)
        except Missing as missing:
            raise self._lacks(given, missing.args[0], _wanted(row, given)) from None
        except Bad as bad:
            self.bad(given, bad)

    def unknown(self, given: Statement) -> None:
        """Reports a keyword that the block does not know, and passes over what belongs to it."""
        ignored = "ignored with its block" if self.has_block() else "ignored"
        mark = next((mark for mark in _MARKS if given.keyword.startswith(mark)), "")
        if mark:
            word = repr(given.keyword[len(mark) :]) if given.keyword != mark else "the line"
            self.findings.error(
                given.place, f"{_MARKS[mark]} before {word}",
                f"expected a file in UTF-8 without one; {ignored}",
            )  # fmt: skip
        else:
            self.findings.error(given.place, f"unknown keyword {given.keyword!r}", ignored)
        if self.has_block():
            self._next()
            self._skip_unexpected()

    def _lacks(self, given: Statement, number: int, wanted: str = "expected it") -> Fatal:
        """Notes an argument that is missing; keepalived ends at that."""
        return self.findings.fatal(
            given.place, f"{given.text!r} lacks word {number}", f"{wanted}; reading ends here"
        )

    def lines(self, given: Statement, read: Callable[[Statement], None]) -> None:
        """Hands every line of a block to `read`.

        Without a brace of its own the block takes the next one, and ends where that does.
        """
        is_open = self.open_block(given, needed=False)
        while True:
            token = self._next()
            if token.kind is Kind.STATEMENT:
                line = statement(token.text, token.place)
                try:
                    if line.words:
                        read(line)
                except Missing as missing:
                    raise self._lacks(line, missing.args[0]) from None
                except Bad as bad:
                    self.bad(line, bad)
            elif token.kind is Kind.OPEN:
                self.findings.error(token.place, "'{' in a list", "expected a line or '}'")
                if is_open:
                    self._skip_unexpected()
                is_open = True
            else:
                return

    def bad(self, given: Statement, bad: Bad) -> None:
        """Reports a value that is none."""
        self.findings.error(given.place, f"{given.keyword}: {bad.found}", bad.expected)

    def note_once(self, given: Statement, reason: str) -> None:
        """Says once that a keyword has no effect, and why."""
        if given.keyword not in self._noted:
            self._noted.add(given.keyword)
            self.findings.note(given.place, f"{given.keyword} has no effect here", reason)


# ---- rows


@dataclass(frozen=True, slots=True)
class Value:
    """Puts what `read` makes of the statement into a field.

    `is_fatal`: keepalived ends where the argument is missing; otherwise that is an error like
    others.  `is_once`: a second statement is reported and changes nothing.
    """

    field: str
    read: Read
    is_fatal: bool = True
    is_once: bool = False

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        if self.is_once and self.field in draft:
            raise Bad("given again", "the first one holds")
        try:
            value = self.read(given)
        except Missing:
            if self.is_fatal:
                raise
            raise Bad("no value", "expected one") from None
        except Bad as bad:
            if bad.value is None:
                raise
            loader.bad(given, bad)
            value = bad.value
        draft.put(self.field, value, given.place)


def _wanted(row: Row, given: Statement) -> str:
    """Returns what a keyword expects: what its reader says about a word that is certainly none."""
    if isinstance(row, Value) and len(given.words) == 1:
        try:
            row.read(Statement((given.keyword, "\x7f"), given.text, given.place))
        except Bad as bad:
            return bad.expected
        except Missing:
            pass  # it wants more than that
    return "expected it"


@dataclass(frozen=True, slots=True)
class Append:
    """Appends what `read` makes of each such statement to a list."""

    field: str
    read: Read

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        draft.add(self.field, self.read(given), given.place)


@dataclass(frozen=True, slots=True)
class Flag:
    """Sets a field; words behind it mean nothing."""

    field: str
    value: object = True

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        draft.put(self.field, self.value, given.place)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Takes a keyword that has no effect; its arguments are judged as keepalived judges them."""

    reason: str
    read: Read | None = None
    is_fatal: bool = True

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        loader.note_once(given, self.reason)
        if self.read is not None:
            Value("", self.read, self.is_fatal).apply(loader, Draft(given.place), given)


@dataclass(frozen=True, slots=True)
class Lines:
    """Reads a block of lines into a list."""

    field: str
    read: Callable[[Statement], object]

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        draft.begin(self.field, given.place)
        if len(given.words) > 1:
            loader.bad(given, Bad("words before the '{'", "expected none"))

        def take(line: Statement) -> None:
            draft.add(self.field, self.read(line), line.place)

        loader.lines(given, take)


@dataclass(frozen=True, slots=True)
class Block:
    """Reads a block into a draft of its own, which is appended to a list.

    `head` fills the draft from the words before the brace; a block whose head is bad is skipped.
    """

    field: str
    table: Callable[[], Table]
    head: Callable[[Loader, Draft, Statement], None] | None = None

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        inner = Draft(given.place)
        try:
            if self.head is not None:
                self.head(loader, inner, given)
        except Bad as bad:
            loader.bad(given, bad)
            loader.skip_head()
            return
        loader.open_block(given)
        loader.load(self.table(), inner)
        draft.add(self.field, inner, given.place)


@dataclass(frozen=True, slots=True)
class Call:
    """Leaves a keyword to a function."""

    function: Callable[[Loader, Draft, Statement], None]

    def apply(self, loader: Loader, draft: Draft, given: Statement) -> None:
        self.function(loader, draft, given)


def named(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads the name of a block; without one the block is skipped."""
    if len(given.words) != 2:
        raise Bad(f"{len(given.words) - 1} names", "expected one; the block is skipped")
    draft.put("name", given.words[1], given.place)
