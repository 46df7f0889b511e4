"""Patterns of HTTP checks: PCRE2 itself, by the pcre2 package, as keepalived uses it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pcre2

from lbfast.errors import ConfigError
from lbfast.model.check import Regex

# pcre2.h; the package hands on every bit that it has no name for
OPTIONS = {
    "allow_empty_class": 0x00000001,
    "alt_bsux": 0x00000002,
    "auto_callout": 0x00000004,
    "caseless": 0x00000008,
    "dollar_endonly": 0x00000010,
    "dotall": 0x00000020,
    "dupnames": 0x00000040,
    "extended": 0x00000080,
    "firstline": 0x00000100,
    "match_unset_backref": 0x00000200,
    "multiline": 0x00000400,
    "never_ucp": 0x00000800,
    "never_utf": 0x00001000,
    "no_auto_capture": 0x00002000,
    "no_auto_possess": 0x00004000,
    "no_dotstar_anchor": 0x00008000,
    "no_start_optimize": 0x00010000,
    "ucp": 0x00020000,
    "ungreedy": 0x00040000,
    "utf": 0x00080000,
    "never_backslash_c": 0,  # the package uses this bit for something else: see _refuse_one_byte
    "alt_circumflex": 0x00200000,
    "alt_verbnames": 0x00400000,
    "use_offset_limit": 0,  # max_offset is compared with where the match starts instead
}
_ONE_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\C")


def matcher(regex: Regex) -> Callable[[bytes], str]:
    """Returns a function that says what is wrong with a body, nothing if it is as it should be.

    ConfigError for a pattern or an option that PCRE2 does not know.
    """
    found = _compile(regex)

    def judge(body: bytes) -> str:
        try:
            match = found.search(body, regex.min_offset) if regex.min_offset <= len(body) else None
        except pcre2.LibraryError as gave_up:  # its own limits, or bytes that are no UTF-8
            return f"pattern {regex.pattern!r} not tried to the end: {gave_up}"
        is_there = match is not None and (
            regex.max_offset is None or match.start() <= regex.max_offset
        )
        if is_there is not regex.no_match:
            return ""
        return f"body {'matches' if is_there else 'does not match'} pattern {regex.pattern!r}"

    return judge


def _compile(regex: Regex) -> pcre2.Pattern:
    unknown = regex.options - OPTIONS.keys()
    if unknown:
        known = ", ".join(sorted(OPTIONS))
        raise ConfigError(f"regex_options: {', '.join(sorted(unknown))} unknown; known: {known}")
    if "never_backslash_c" in regex.options and _ONE_BYTE.search(regex.pattern):
        raise ConfigError(f"regex {regex.pattern!r}: \\C is refused by never_backslash_c")
    bits = 0
    for word in regex.options:
        bits |= OPTIONS[word]
    try:
        return pcre2.compile(regex.pattern.encode("utf-8", "surrogateescape"), bits)
    except pcre2.LibraryError as wrong:
        raise ConfigError(f"regex {regex.pattern!r}: {wrong}") from wrong
