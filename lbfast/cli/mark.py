"""`lbfast mark`: the rules that give packets a fwmark, in the manner of iptables' words."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lbfast.control.api import Balancer
from lbfast.control.client import connect
from lbfast.errors import ConfigError, KernelError
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.marks import ANY_PORT, MAX_MARK_RULES, FwmarkRule

USAGE_STATUS = 2
USAGE = """\
usage: lbfast mark add MARK [MATCH ...]    add a rule behind the others
       lbfast mark del MARK [MATCH ...]    delete the rule that says just this
       lbfast mark list                    show the rules, as lines for restore
       lbfast mark restore                 replace all rules by standard input's lines
       lbfast mark flush                   delete all rules

MARK is a number, 0x for hexadecimal; 0: such packets have no mark.  A packet's mark is that of the
last rule whose matches all apply:
  -4, -6                        the family (default: of the addresses, else IPv4)
  -p, --protocol PROTO          tcp, udp or sctp (default: all three)
  -s, --source ADDR[/LEN]       where it comes from
  -d, --destination ADDR[/LEN]  where it goes
  --sport PORT[:PORT]           its source port, or a range of ports
  --dport PORT[:PORT]           its destination port, or a range of ports
  -i, --in-interface IFACE      the interface it came in at
"""
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_PROTOCOL_NAMES = {number: name for name, number in _PROTOCOLS.items()}
_REFUSALS = {
    errno.EEXIST: "this rule is there already",
    errno.ENOENT: "there is no such rule",
    errno.ENOSPC: f"there are {MAX_MARK_RULES} rules already",
}


class UsageError(ConfigError):
    """Words that make no sense; the sentence says which."""


@dataclass(slots=True)
class _Draft:
    """What a line has said so far; an option may be given once."""

    given: dict[str, str] = field(default_factory=dict)
    af: int = 0


# ---- words to rules

_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("-p", "--protocol", "--proto"), "-p"),
    **dict.fromkeys(("-s", "--source", "--src"), "-s"),
    **dict.fromkeys(("-d", "--destination", "--dst"), "-d"),
    **dict.fromkeys(("--sport", "--source-port"), "--sport"),
    **dict.fromkeys(("--dport", "--destination-port"), "--dport"),
    **dict.fromkeys(("-i", "--in-interface"), "-i"),
}
_HINTS: Mapping[str, str] = {
    "!": "a match cannot be turned round; except packets by a later rule with mark 0",
    "-j": "the mark is the first word: lbfast mark add MARK ...",
    "-m": "matches beyond those of 'lbfast mark' are not known",
    "-t": "there are no tables and chains: lbfast mark add MARK ...",
    "-A": "there are no tables and chains: lbfast mark add MARK ...",
}


def parse_rule(words: Sequence[str]) -> FwmarkRule:
    """Returns the rule that the words behind `add` or `del` describe; raises UsageError."""
    if not words:
        raise UsageError("no mark given, expected a number")
    mark = _number(words[0], 0xFFFFFFFF)
    if mark is None:
        raise UsageError(f"mark {words[0]!r}: expected a number from 0 to 4294967295")
    draft = _read(words[1:])
    given = draft.given
    src, src_len = _prefix(draft, "-s")
    dst, dst_len = _prefix(draft, "-d")
    interface = given.get("-i", "")
    if "-i" in given and not (0 < len(interface.encode(errors="surrogateescape")) <= 15):
        raise UsageError(f"-i {interface!r}: expected an interface's name of 1 to 15 bytes")
    return FwmarkRule(
        mark,
        draft.af or AF_INET,
        _protocol(given.get("-p")),
        interface,
        src,
        src_len,
        dst,
        dst_len,
        _ports("--sport", given.get("--sport")),
        _ports("--dport", given.get("--dport")),
    )


def _read(words: Sequence[str]) -> _Draft:
    draft = _Draft()
    rest = iter(words)
    for word in rest:
        if word in ("-4", "-6"):
            _family(draft, AF_INET if word == "-4" else AF_INET6, word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = _OPTIONS.get(name)
        if option is None:
            hint = _HINTS.get(name) or f"expected one of -4, -6, {', '.join(_known())}"
            raise UsageError(f"{word}: {hint}")
        if option in draft.given:
            raise UsageError(f"{name} given twice")
        if not equals:
            value = next(rest, "")
        if not value:
            raise UsageError(f"{name}: expected a value behind it")
        if value == "!":
            raise UsageError(f"!: {_HINTS['!']}")
        draft.given[option] = value
    return draft


def _known() -> list[str]:
    return sorted(set(_OPTIONS.values()))


def _family(draft: _Draft, af: int, what: str) -> None:
    if draft.af not in (0, af):
        raise UsageError(f"{what}: the rule is of the other address family already")
    draft.af = af


def _number(text: str, most: int) -> int | None:
    try:
        value = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return None
    return value if 0 <= value <= most and text.isascii() and "_" not in text else None


def _protocol(text: str | None) -> int:
    if text is None:
        return 0
    number = _PROTOCOLS.get(text.lower(), _number(text, 255))
    if number not in _PROTOCOL_NAMES:
        raise UsageError(f"-p {text!r}: expected tcp, udp or sctp")
    return int(number or 0)


def _prefix(draft: _Draft, option: str) -> tuple[bytes, int]:
    text = draft.given.get(option)
    if text is None:
        return b"", 0
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected an address, ADDR or ADDR/LEN") from None
    _family(draft, AF_INET if network.version == 4 else AF_INET6, f"{option} {text}")
    if not network.prefixlen:
        return b"", 0
    return network.network_address.packed, network.prefixlen


def _ports(option: str, text: str | None) -> tuple[int, int]:
    if text is None:
        return ANY_PORT
    first, colon, last = text.partition(":")
    low = _port(first) if first or not colon else 0
    high = (_port(last) if last else ANY_PORT[1]) if colon else low
    if low is None or high is None or low > high:
        raise UsageError(f"{option} {text!r}: expected PORT or FIRST:LAST, 0 to 65535")
    return low, high


def _port(text: str) -> int | None:
    number = _number(text, 65535)
    if number is None and text.isascii() and text.isidentifier():
        try:
            return socket.getservbyname(text)
        except OSError:
            return None
    return number


# ---- rules to words


def rule_line(rule: FwmarkRule) -> str:
    """Returns a rule as the line that `restore` takes."""
    words = ["add", str(rule.mark), "-4" if rule.af == AF_INET else "-6"]
    if rule.protocol:
        words += ["-p", _PROTOCOL_NAMES[rule.protocol]]
    for option, addr, length in (("-s", rule.src, rule.src_len), ("-d", rule.dst, rule.dst_len)):
        if length:
            words += [option, f"{socket.inet_ntop(rule.af, addr)}/{length}"]
    for option, (low, high) in (("--sport", rule.sport), ("--dport", rule.dport)):
        if (low, high) != ANY_PORT:
            words += [option, str(low) if low == high else f"{low}:{high}"]
    if rule.interface:
        words += ["-i", rule.interface]
    return " ".join(words)


def parse_lines(lines: Iterable[str]) -> list[FwmarkRule]:
    """Returns the rules of saved lines; raises UsageError with the line's number."""
    rules: list[FwmarkRule] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if words[0] != "add":
                raise UsageError(f"{words[0]!r}: expected 'add'")
            rule = parse_rule(words[1:])
            if rule in rules:
                raise UsageError(_REFUSALS[errno.EEXIST])
        except UsageError as wrong:
            raise UsageError(f"line {number}: {wrong}") from None
        rules.append(rule)
    return rules


# ---- commands


def _add(balancer: Balancer, words: Sequence[str]) -> Iterator[str]:
    balancer.add_mark(parse_rule(words))
    yield from ()


def _delete(balancer: Balancer, words: Sequence[str]) -> Iterator[str]:
    balancer.delete_mark(parse_rule(words))
    yield from ()


def _list(balancer: Balancer, words: Sequence[str]) -> Iterator[str]:
    _nothing_behind("list", words)
    yield from (rule_line(rule) + "\n" for rule in balancer.marks())


def _restore(balancer: Balancer, words: Sequence[str]) -> Iterator[str]:
    _nothing_behind("restore", words)
    balancer.set_marks(parse_lines(sys.stdin))
    yield from ()


def _flush(balancer: Balancer, words: Sequence[str]) -> Iterator[str]:
    _nothing_behind("flush", words)
    balancer.set_marks([])
    yield from ()


def _nothing_behind(command: str, words: Sequence[str]) -> None:
    if words:
        raise UsageError(f"{command}: nothing expected behind it, found {words[0]!r}")


_COMMANDS: Mapping[str, Callable[[Balancer, Sequence[str]], Iterator[str]]] = {
    "add": _add,
    "del": _delete,
    "delete": _delete,
    "list": _list,
    "show": _list,
    "save": _list,
    "restore": _restore,
    "flush": _flush,
}


def main(argv: Sequence[str], opened: Callable[[], Balancer] = connect) -> int:
    """Runs `lbfast mark` with the words behind it; returns the exit status."""
    command = argv[0] if argv else "list"
    if command in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if command not in _COMMANDS:
        sys.stderr.write(f"lbfast mark: {command!r} unknown\n{USAGE}")
        return USAGE_STATUS
    try:
        if command in ("add", "del", "delete"):
            parse_rule(argv[1:])  # what is wrong with the words is said without a daemon too
        sys.stdout.writelines(_COMMANDS[command](opened(), argv[1:]))
    except UsageError as wrong:
        print(f"lbfast mark: {wrong}", file=sys.stderr)
        return USAGE_STATUS
    except KernelError as refused:
        reason = _REFUSALS.get(refused.errno or 0, str(refused))
        print(f"lbfast mark: {reason}", file=sys.stderr)
        return 1
    return 0
