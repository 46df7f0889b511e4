"""The words of ipvsadm: commands, options, which go together, and their names in messages."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Takes(enum.Enum):
    """Whether an option has a value."""

    NOTHING = enum.auto()
    VALUE = enum.auto()
    MAYBE = enum.auto()  # only from the next word if that does not begin with '-'


@dataclass(frozen=True, slots=True)
class Option:
    """One option; `long` is its name everywhere in the code."""

    long: str
    short: str = ""
    takes: Takes = Takes.NOTHING


# command -> its name in messages
COMMANDS: Mapping[str, str] = {
    "add-service": "add-service",
    "edit-service": "edit-service",
    "delete-service": "delete-service",
    "clear": "flush",
    "list": "list",
    "add-server": "add-server",
    "delete-server": "delete-server",
    "edit-server": "edit-server",
    "set": "set",
    "start-daemon": "start-daemon",
    "stop-daemon": "stop-daemon",
    "restore": "restore",
    "save": "save",
    "zero": "zero",
    "help": "help",
    "version": "version",
    # lbfast's own, for FULLNAT
    "add-laddr": "add-laddr",
    "del-laddr": "del-laddr",
    "list-laddr": "list-laddr",
}

_NOTHING = (
    *("add-service A", "edit-service E", "delete-service D", "clear C", "restore R", "save S"),
    *("add-server a", "edit-server e", "delete-server d", "list L", "zero Z", "set", "help h"),
    *("version v", "ipv6 6", "ops o", "gatewaying g", "ipip i", "masquerading m", "fullnat"),
    *("tun-nocsum", "tun-csum", "tun-remcsum", "numeric n", "connection c", "timeout", "daemon"),
    *("stats", "rate", "thresholds", "persistent-conn", "tun-info", "exact X", "nosort", "sort"),
    *("add-laddr P", "del-laddr Q", "list-laddr G"),
)
_VALUE = (
    *("start-daemon", "stop-daemon", "tcp-service t", "udp-service u", "sctp-service"),
    *("fwmark-service f", "scheduler s", "netmask M", "pe", "sched-flags b", "real-server r"),
    *("weight w", "u-threshold x", "l-threshold y", "tun-type", "tun-port", "mcast-interface"),
    *("syncid", "sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl"),
)


def _option(word: str, takes: Takes) -> Option:
    long, _, short = word.partition(" ")
    return Option(long, short, takes)


OPTIONS: tuple[Option, ...] = (
    *(_option(word, Takes.NOTHING) for word in _NOTHING),
    *(_option(word, Takes.VALUE) for word in _VALUE),
    Option("persistent", "p", Takes.MAYBE),
    Option("list", "l"),
)

# Only these commands know -z: elsewhere it stays the unknown option that ipvsadm says it is.
LADDR_COMMANDS = frozenset({"add-laddr", "del-laddr", "list-laddr"})
LADDR_OPTIONS: tuple[Option, ...] = (*OPTIONS, Option("laddr", "z", Takes.VALUE))

# option -> its class: what can be given once, and what messages call it.  Order: the checks'.
CLASSES: Mapping[str, str] = {
    "numeric": "numeric",
    "connection": "connection",
    "tcp-service": "service-address",
    "udp-service": "service-address",
    "sctp-service": "service-address",
    "fwmark-service": "service-address",
    "scheduler": "scheduler",
    "persistent": "persistent",
    "netmask": "netmask",
    "real-server": "real-server",
    "gatewaying": "forwarding-method",
    "ipip": "forwarding-method",
    "masquerading": "forwarding-method",
    "fullnat": "forwarding-method",
    "weight": "weight",
    "u-threshold": "u-threshold",
    "l-threshold": "l-threshold",
    "mcast-interface": "mcast-interface",
    "timeout": "timeout",
    "daemon": "daemon",
    "stats": "stats",
    "rate": "rate",
    "thresholds": "thresholds",
    "persistent-conn": "persistent-conn",
    "nosort": "nosort",
    "syncid": "syncid",
    "exact": "exact",
    "ops": "ops",
    "pe": "pe",
    "sched-flags": "sched-flags",
    "mcast-group": "mcast-group",
    "mcast-port": "mcast-port",
    "mcast-ttl": "mcast-ttl",
    "sync-maxlen": "sync-maxlen",
    "tun-info": "tun-info",
    "tun-type": "tun-type",
    "tun-port": "tun-port",
    "tun-nocsum": "tun-nocsum",
    "tun-csum": "tun-csum",
    "tun-remcsum": "tun-remcsum",
    "laddr": "laddr",
}
CHECK_ORDER: tuple[str, ...] = tuple(dict.fromkeys(CLASSES.values()))
TUNNEL_OPTIONS: tuple[str, ...] = ("tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which option classes go with a command; what is nowhere in it is illegal."""

    compulsory: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    exclusive: frozenset[str] = frozenset()  # at most one of them


def _rule(compulsory: str = "", optional: str = "", exclusive: str = "") -> Rule:
    return Rule(
        frozenset(compulsory.split()), frozenset(optional.split()), frozenset(exclusive.split())
    )


_SERVICE = "scheduler persistent netmask ops pe sched-flags"
_SERVER = "forwarding-method weight u-threshold l-threshold " + " ".join(TUNNEL_OPTIONS)

# Rows of the table in spec/ipvs.md 10.2.
RULES: Mapping[str, Rule] = {
    "add-service": _rule("service-address", _SERVICE),
    "edit-service": _rule("service-address", _SERVICE),
    "delete-service": _rule("service-address"),
    "clear": _rule(),
    "list": _rule(
        optional="numeric syncid stats rate thresholds persistent-conn nosort exact tun-info",
        exclusive="connection service-address timeout daemon",
    ),
    "add-server": _rule("service-address real-server", _SERVER),
    "delete-server": _rule("service-address real-server"),
    "edit-server": _rule("service-address real-server", _SERVER),
    "set": _rule(),
    "start-daemon": _rule(
        optional="mcast-interface mcast-group mcast-port mcast-ttl sync-maxlen syncid"
    ),
    "stop-daemon": _rule(optional="syncid"),
    "restore": _rule(),
    "save": _rule(optional="numeric"),
    "zero": _rule(optional="service-address"),
    "add-laddr": _rule("service-address laddr"),
    "del-laddr": _rule("service-address laddr"),
    "list-laddr": _rule(optional="numeric service-address"),
}

# The same for the type of a tunnel.
TUNNEL_RULES: Mapping[str, Rule] = {
    "ipip": _rule(),
    "gue": _rule("tun-port", exclusive="tun-nocsum tun-csum tun-remcsum"),
    "gre": _rule(exclusive="tun-nocsum tun-csum"),
}
