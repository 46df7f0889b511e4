"""`lbfast mark`: the rules that give packets a fwmark, in the manner of iptables' words."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lbfast.config.markwords import PROTOCOL_NAMES, UsageError, parse_rule
from lbfast.control.api import Balancer
from lbfast.control.client import connect
from lbfast.errors import KernelError
from lbfast.model import AF_INET
from lbfast.model.marks import ANY_PORT, MAX_MARK_RULES, FwmarkRule
from lbfast.words import refuse

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
_REFUSALS = {
    errno.EEXIST: "this rule is there already",
    errno.ENOENT: "there is no such rule",
    errno.ENOSPC: f"there are {MAX_MARK_RULES} rules already",
}


# ---- rules to words


def rule_line(rule: FwmarkRule) -> str:
    """Returns a rule as the line that `restore` takes."""
    words = ["add", str(rule.mark), "-4" if rule.af == AF_INET else "-6"]
    if rule.protocol:
        words += ["-p", PROTOCOL_NAMES[rule.protocol]]
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
        return refuse(
            "lbfast mark", f"{command!r} unknown, expected add, del, list, restore or flush"
        )
    try:
        if command in ("add", "del", "delete"):
            parse_rule(argv[1:])  # what is wrong with the words is said without a daemon too
        balancer = opened()
        sys.stdout.writelines(_COMMANDS[command](balancer, argv[1:]))
        balancer.settle()
    except UsageError as wrong:
        return refuse("lbfast mark", str(wrong))
    except KernelError as refused:
        reason = _REFUSALS.get(refused.errno or 0, str(refused))
        print(f"lbfast mark: {reason}", file=sys.stderr)
        return 1
    return 0


__all__ = ["UsageError", "main", "parse_lines", "parse_rule", "rule_line"]
