"""The checker blocks of a real_server, and the SSL block (spec 2.12, 2.13)."""

from __future__ import annotations

import re

from lbfast.config.blocks import Block, Call, Draft, Flag, Ignored, Loader, Table, Value
from lbfast.config.foreign import newer
from lbfast.config.keywords.scripts import account, checking_script
from lbfast.config.keywords.trackers import weight_words
from lbfast.config.values import (
    INT_MAX,
    MICRO,
    UINT_MAX,
    Bad,
    Missing,
    Statement,
    address,
    integer,
    optional_boolean,
    port,
    string,
    timer_s,
    whole,
)

REGEX_OPTIONS = (
    "caseless", "dotall", "multiline", "extended", "firstline", "dollar_endonly", "ungreedy",
    "utf", "ucp", "allow_empty_class", "alt_bsux", "auto_callout", "dupnames",
    "match_unset_backref", "never_ucp", "never_utf", "no_auto_capture", "no_auto_possess",
    "no_dotstar_anchor", "no_start_optimize", "never_backslash_c", "alt_circumflex",
    "alt_verbnames", "use_offset_limit",
)  # fmt: skip
_DIGEST = re.compile(r"[0-9a-fA-F]{32}")
_NIBBLES = re.compile(r"[0-9a-fA-FxX]+")
_DNS_TYPES = ("A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA", "RRSIG", "DNSKEY")
_MAX_LABEL, _MAX_NAME = 63, 254  # bytes: of a label, of labels with their lengths (RFC 1035)

MAX_DELAY_US = INT_MAX * MICRO * 4
MAX_TIMEOUT_US = UINT_MAX


def _port(given: Statement) -> int:
    return port(given.word())


def timing(low_retry: int) -> Table:
    """Returns the rows that checkers, real servers and virtual servers share."""
    return {
        "retry": Value("retry", integer(low_retry)),
        "delay_before_retry": Value("delay_before_retry_s", timer_s(0, MAX_DELAY_US)),
        "warmup": Value("warmup_s", timer_s(0, MAX_DELAY_US)),
        "delay_loop": Value("delay_loop_s", timer_s(1, MAX_DELAY_US)),
        "connect_timeout": Value("connect_timeout_s", timer_s(1, MAX_TIMEOUT_US)),
    }


_COMMON: Table = {
    **{name: row for name, row in timing(0).items() if name != "connect_timeout"},
    "alpha": Value("alpha", optional_boolean),
    "log_all_failures": Value("log_all_failures", optional_boolean),
}
_NETWORK: Table = {
    **_COMMON,
    "connect_timeout": timing(0)["connect_timeout"],
    "connect_port": Value("connect_port", _port),
    "connect_ip": Value("connect_ip", address),
    "bindto": Value("bindto", address),
    "bind_port": Value("bind_port", _port),
    "bind_if": Value("bind_if", string),
    "fwmark": Value("fwmark", integer()),
}


# ---- HTTP_GET, SSL_GET


def _digest(loader: Loader, draft: Draft, given: Statement) -> None:
    """Takes the first valid digest of a url."""
    word = given.word()
    if not _DIGEST.fullmatch(word):
        raise Bad(f"digest {word!r}", "expected 32 hexadecimal digits")
    if "digest" in draft:
        raise Bad("a second digest", "only the first counts")
    draft.put("digest", bytes.fromhex(word), given.place)


def _status_codes(given: Statement) -> tuple[tuple[int, int], ...]:
    found = []
    for word in given.words[1:]:
        first, dash, last = word.partition("-")
        low = whole(first, 100, 599, "a status code")
        high = whole(last, 100, 599, "a status code") if dash else low
        if high < low:
            raise Bad(f"{word!r}", "expected the lower code first")
        found.append((low, high))
    return tuple(found)


def _regex(given: Statement) -> str:
    words = given.script_words()
    if len(words) < 2:
        raise Missing(2)
    return words[1]


def _regex_options(given: Statement) -> frozenset[str]:
    unknown = [word for word in given.words[1:] if word not in REGEX_OPTIONS]
    if unknown:
        raise Bad(f"option {unknown[0]!r}", f"expected {', '.join(REGEX_OPTIONS)}")
    return frozenset(given.words[1:])


def _http_protocol(given: Statement) -> str:
    word = given.word()
    if word not in ("1.0", "1.0C", "1.0c", "1.1"):
        raise Bad(f"{word!r}", "expected 1.0, 1.0C or 1.1")
    return word.upper()


def _old_retry(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.bad(given, Bad("an old name", "now retry"))
    draft.put("retry", integer()(given), given.place)


URL: Table = {
    "path": Value("path", string),
    "digest": Call(_digest),
    "status_code": Value("status_codes", _status_codes),
    "virtualhost": Value("virtualhost", string, is_fatal=False),
    "regex": Value("regex", _regex, is_fatal=False),
    "regex_no_match": Flag("regex_no_match"),
    "regex_options": Value("regex_options", _regex_options),
    "regex_min_offset": Value("regex_min_offset", integer(), is_fatal=False),
    "regex_max_offset": Value("regex_max_offset", integer(), is_fatal=False),
    "regex_stack": Ignored("the matcher sizes its own stack"),
}
_HTTP: Table = newer({
    **_NETWORK,
    "url": Block("urls", lambda: URL),
    "nb_get_retry": Call(_old_retry),
    "virtualhost": Value("virtualhost", string, is_fatal=False),
    "http_protocol": Value("http_protocol", _http_protocol, is_fatal=False),
    "fast_recovery": Value("fast_recovery", optional_boolean),
    "enable_sni": Value("enable_sni", optional_boolean),
    "sni_name": Value("sni_name", string),
    "tls_compliant": Value("tls_compliant", optional_boolean),
}, "sni_name", "tls_compliant")  # fmt: skip


# ---- UDP_CHECK


def nibbles(words: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Returns the value and mask of hexadecimal groups; an x is any nibble, and 0 in the mask."""
    value, mask = bytearray(), bytearray()
    for group in " ".join(words).split():
        if not _NIBBLES.fullmatch(group):
            raise Bad(f"{group!r}", "expected hexadecimal digits")
        for at in range(0, len(group), 2):
            pair = group[at : at + 2].lower()
            mask.append(int("".join("0" if digit == "x" else "f" for digit in pair), 16))
            value.append(int(pair.replace("x", "0"), 16))
            if len(pair) == 1:
                mask[-1] |= 0xF0
    return bytes(value), bytes(mask)


def _payload(given: Statement) -> bytes:
    if len(given.words) < 2:
        raise Missing(2)
    value, mask = nibbles(given.words[1:])
    if mask.strip(b"\xff"):
        raise Bad("x in a payload", "expected hexadecimal digits")
    return value


def _reply(given: Statement) -> tuple[bytes, bytes]:
    return nibbles(given.words[1:])


# ---- others


def _dns_type(given: Statement) -> str:
    word = given.word().upper()
    if word not in _DNS_TYPES:
        raise Bad(f"{given.word()!r}", f"expected {', '.join(_DNS_TYPES)}")
    return word


def _dns_name(loader: Loader, draft: Draft, given: Statement) -> None:
    """Takes the name to ask for; keepalived's check is silent about one that is too long."""
    name = given.word()
    parts = name.removesuffix(".").split(".")
    labels = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if name != "." and not all(labels):
        raise Bad(f"{name!r}", "expected a domain name")
    if name[1:2] == ".":
        loader.source.differ(given.place, "a first label of one character is an empty one to it")
        if loader.source.as_keepalived:
            raise Bad(f"{name!r}", "expected another name")
    too_long = ""
    if max(labels) > _MAX_LABEL:
        too_long = f"a label of {max(labels)} bytes, expected at most {_MAX_LABEL}"
    elif len(labels) + sum(labels) > _MAX_NAME:
        too_long = f"{len(labels) + sum(labels) - 1} bytes, expected at most {_MAX_NAME - 1}"
    if too_long:
        loader.findings.note(given.place, f"name: {too_long}", "no query can carry it; . is used")
        return
    draft.put("name", name, given.place)


def _file_weight(loader: Loader, draft: Draft, given: Statement) -> None:
    number, reverse = weight_words(given.words[1:], INT_MAX)
    draft.put("weight", number, given.place)
    draft.put("reverse", reverse, given.place)


CHECKERS: dict[str, Table] = {
    "TCP_CHECK": _NETWORK,
    "PING_CHECK": _NETWORK,
    "HTTP_GET": _HTTP,
    "SSL_GET": _HTTP,
    "SMTP_CHECK": {
        **_NETWORK,
        "helo_name": Value("helo_name", string, is_fatal=False),
        "host": Block("hosts", lambda: _NETWORK),
    },
    "MISC_CHECK": {
        **_COMMON,
        "misc_path": Call(checking_script),
        "misc_timeout": Value("timeout_s", integer(0, MAX_TIMEOUT_US // MICRO)),
        "misc_dynamic": Flag("is_dynamic"),
        "user": Value("user", account, is_fatal=False),
    },
    "DNS_CHECK": {
        **_NETWORK,
        "type": Value("type", _dns_type),
        "name": Call(_dns_name),
    },
    "UDP_CHECK": {
        **_NETWORK,
        "payload": Value("payload", _payload, is_fatal=False),
        "require_reply": Value("reply", _reply),
        "min_reply_length": Value("min_length", integer(0, 255)),
        "max_reply_length": Value("max_length", integer(0, 65535)),
    },
    "FILE_CHECK": {
        "track_file": Value("track_file", string),
        "weight": Call(_file_weight),
    },
    "BFD_CHECK": {
        "name": Value("name", string),
        "alpha": Value("alpha", optional_boolean),
    },
}


def _credential(name: str) -> Call:
    """A word of the SSL block; a second one is reported, and holds."""

    def read(loader: Loader, draft: Draft, given: Statement) -> None:
        if name in draft:
            loader.bad(given, Bad("given again", "the last one holds"))
        draft.put(name, given.word(), given.place)

    return Call(read)


def ssl_head(loader: Loader, draft: Draft, given: Statement) -> None:
    """Begins the SSL block; a second one is reported, and holds."""
    if "ssl" in loader.seen:
        loader.bad(given, Bad("given again", "the last one holds"))
    loader.seen.add("ssl")


SSL: Table = {name: _credential(name) for name in ("password", "ca", "certificate", "key")}
