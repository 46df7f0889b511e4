"""How a statement is split into words: as ordinary keywords see it, and as script keywords do."""

from __future__ import annotations

import re

BLANKS = " \t\f\v\r\n"
# what stands for a literal # and ! while comments are still being looked for
HASH, BANG = "\ue000", "\ue001"
_LITERAL = str.maketrans({HASH: "#", BANG: "!"})
_WORD = re.compile(r'"([^"]*)("?)|([^ \t\f\v\r\n"]+)')
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_OCTAL = re.compile(r"[0-7]{1,3}")
_HEX = re.compile(r"x([0-9a-fA-F]{1,2})")


def literal(text: str) -> str:
    """Returns the text with the stand-ins of # and ! replaced."""
    return text.translate(_LITERAL)


def split(text: str) -> list[str]:
    """Returns the words of an ordinary statement; only a double quote quotes, without escapes.

    What follows a quote that is not closed is no word.
    """
    found = []
    for match in _WORD.finditer(text):
        if match[1] is not None and not match[2]:
            break
        word = match[1] if match[3] is None else match[3]
        found.append(literal(word))
    return found


def has_open_quote(text: str) -> bool:
    """Returns whether a double quote is not closed."""
    return text.count('"') % 2 == 1


def split_script(text: str) -> list[str]:
    """Returns the words as script keywords see them: both quotes, escapes, pieces that join."""
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    at = 0
    text = literal(text)
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and char in BLANKS:
            if word is not None:
                found.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == "\\" and at < len(text):
            piece, at = _escape(text, at)
            word.append(piece)
        else:
            word.append(char)
    if word is not None:
        found.append("".join(word))
    return found


def _escape(text: str, at: int) -> tuple[str, int]:
    """Returns what follows a backslash at `at`, and where it ends."""
    if number := _OCTAL.match(text, at):
        return chr(int(number[0], 8) & 0xFF), number.end()
    if number := _HEX.match(text, at):
        return chr(int(number[1], 16)), number.end()
    char = text[at]
    if char == "c" and at + 1 < len(text):
        return chr(ord(text[at + 1]) & 0x1F), at + 2
    return _SIMPLE.get(char, char), at + 1
