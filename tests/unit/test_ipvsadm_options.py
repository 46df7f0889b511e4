"""Which options go with which command."""

from __future__ import annotations

import pytest

from tests.ipvsadm_face import Face

# option class -> words that give it
GIVEN = {
    "numeric": "-n",
    "connection": "-c",
    "service-address": "-t 10.9.0.1:80",
    "scheduler": "-s rr",
    "persistent": "-p 5",
    "netmask": "-M 255.255.255.0",
    "real-server": "-r 10.2.0.1:80",
    "forwarding-method": "-i",
    "weight": "-w 5",
    "u-threshold": "-x 5",
    "l-threshold": "-y 5",
    "mcast-interface": "--mcast-interface d0",
    "timeout": "--timeout",
    "daemon": "--daemon",
    "stats": "--stats",
    "rate": "--rate",
    "thresholds": "--thresholds",
    "persistent-conn": "--persistent-conn",
    "nosort": "--nosort",
    "syncid": "--syncid 5",
    "exact": "--exact",
    "ops": "-o",
    "pe": "--pe sip",
    "sched-flags": "-b flag-1",
    "mcast-group": "--mcast-group 224.0.0.9",
    "mcast-port": "--mcast-port 9",
    "mcast-ttl": "--mcast-ttl 9",
    "sync-maxlen": "--sync-maxlen 500",
    "tun-info": "--tun-info",
    "tun-type": "--tun-type ipip",
    "tun-port": "--tun-port 9",
    "tun-nocsum": "--tun-nocsum",
    "tun-csum": "--tun-csum",
    "tun-remcsum": "--tun-remcsum",
}
SERVER = "forwarding-method weight u-threshold l-threshold tun-type tun-port "
SERVER += "tun-nocsum tun-csum tun-remcsum"
SERVICE = "scheduler persistent netmask ops pe sched-flags"
LISTING = "numeric syncid stats rate thresholds persistent-conn nosort exact tun-info "
LISTING += "connection service-address timeout daemon"
DAEMON = "mcast-interface mcast-group mcast-port mcast-ttl sync-maxlen syncid"
# command words, its name, compulsory options, allowed options: the table of the manual
COMMANDS = [
    ("-A", "add-service", "service-address", SERVICE),
    ("-E", "edit-service", "service-address", SERVICE),
    ("-D", "delete-service", "service-address", ""),
    ("-C", "flush", "", ""),
    ("-L", "list", "", LISTING),
    ("-a", "add-server", "service-address real-server", SERVER),
    ("-d", "delete-server", "service-address real-server", ""),
    ("-e", "edit-server", "service-address real-server", SERVER),
    ("--set", "set", "", ""),
    ("--start-daemon master", "start-daemon", "", DAEMON),
    ("--stop-daemon master", "stop-daemon", "", "syncid"),
    ("-R", "restore", "", ""),
    ("-S", "save", "", "numeric"),
    ("-Z", "zero", "", "service-address"),
]
BY_COMMAND = pytest.mark.parametrize(
    ("words", "name", "compulsory", "allowed"), COMMANDS, ids=[row[1] for row in COMMANDS]
)


def line(words: str, names: list[str]) -> str:
    tail = " 1 2 3" if words == "--set" else ""
    return " ".join([words, *(GIVEN[name] for name in names)]) + tail


@pytest.mark.covers("C-343")
@BY_COMMAND
def test_compulsory_option_missing(words: str, name: str, compulsory: str, allowed: str) -> None:
    needed = compulsory.split()
    for missing in needed:
        # options are looked at in one order: all before the missing one are there
        others = needed[: needed.index(missing)]
        assert Face()(line(words, others)).error == (
            f"You need to supply the '{missing}' option for the '{name}' command\n"
        )


@pytest.mark.covers("C-344")
@BY_COMMAND
def test_option_illegal_with_the_command(
    words: str, name: str, compulsory: str, allowed: str
) -> None:
    needed = compulsory.split()
    for option in GIVEN:
        if option in needed or option in allowed.split():
            continue
        result = Face()(line(words, [*needed, option]))
        assert (result.status, result.error) == (
            2,
            f"Illegal '{option}' option with the '{name}' command\n",
        )


@pytest.mark.covers("C-344")
@BY_COMMAND
def test_option_allowed_with_the_command(
    words: str, name: str, compulsory: str, allowed: str
) -> None:
    for option in allowed.split():
        assert "Illegal" not in Face()(line(words, [*compulsory.split(), option])).error


@pytest.mark.covers("C-345")
@pytest.mark.parametrize(
    ("words", "later", "earlier"),
    [
        ("-L --timeout --daemon", "daemon", "timeout"),
        ("-L --daemon --timeout -c", "timeout", "connection"),
        ("-L -t 10.9.0.1:80 -c", "service-address", "connection"),
        ("-L --daemon -f 3", "daemon", "service-address"),
    ],
)
def test_options_that_exclude_each_other(words: str, later: str, earlier: str) -> None:
    result = Face()(words)
    assert (result.status, result.error) == (
        2,
        f"The option '{later}' conflicts with the '{earlier}' option in the 'list' command\n",
    )


@pytest.mark.covers("C-346")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("-A -t 10.9.0.8:80 -u 10.9.0.8:53", "service-address"),
        ("-A -t 10.9.0.8:80 -t rubbish", "service-address"),
        ("-A -f 3 --sctp-service 10.9.0.8:80", "service-address"),
        ("-a -t 10.9.0.1:80 -r 10.2.0.6 -g -m", "forwarding-method"),
        ("-a -t 10.9.0.1:80 -r 10.2.0.6 -i --fullnat", "forwarding-method"),
        ("-Lnn", "numeric"),
        ("-L -X --exact", "exact"),
    ],
)
def test_option_class_given_twice(words: str, name: str) -> None:
    result = Face()(words)
    assert (result.status, result.error) == (2, f"multiple '{name}' options specified\n")


@pytest.mark.covers("C-347")
@pytest.mark.parametrize(
    ("words", "is_conflict"),
    [
        ("-L -c --stats", True),
        ("-L -c --rate", True),
        ("-L -c --thresholds", True),
        ("-L -c --persistent-conn", False),
        ("-L -c --tun-info", False),
        ("-L --timeout --rate", True),
        ("-L --timeout --persistent-conn", True),
        ("-L --daemon --persistent-conn", True),
        ("-L --daemon --nosort --exact", False),
        ("-L --stats --rate --thresholds --persistent-conn", False),
    ],
)
def test_listings_that_conflict(words: str, is_conflict: bool) -> None:
    result = Face()(words)
    error = "options conflicts in the list command\n" if is_conflict else ""
    assert (result.status, result.error) == (2 if is_conflict else 0, error)


@pytest.mark.covers("C-349")
@pytest.mark.parametrize("method", ["", "-g", "-m"])
@pytest.mark.parametrize(
    "option", ["--tun-type ipip", "--tun-port 9", "--tun-nocsum", "--tun-csum", "--tun-remcsum"]
)
def test_tunnel_option_without_tunnel(method: str, option: str) -> None:
    result = Face()(f"-a -t 10.9.0.1:80 -r 10.2.0.1 {method} {option}")
    assert (result.status, result.error) == (2, "Tunnel options conflict with forward method\n")


def needed(option: str, kind: str) -> str:
    return f"You need to supply the '{option}' option for the '{kind}' tunnel type\n"


def illegal(option: str, kind: str) -> str:
    return f"Illegal '{option}' option with the '{kind}' tunnel type\n"


def conflict(later: str, earlier: str, kind: str) -> str:
    return (
        f"The option '{later}' conflicts with the '{earlier}' option in the '{kind}' tunnel type\n"
    )


@pytest.mark.covers("C-345", "C-350", "C-351")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--tun-type gue", needed("tun-port", "gue")),
        ("--tun-type gue --tun-port 6080", ""),
        ("--tun-type gue --tun-port 6080 --tun-remcsum", ""),
        (
            "--tun-type gue --tun-port 6080 --tun-csum --tun-remcsum",
            conflict("tun-remcsum", "tun-csum", "gue"),
        ),
        (
            "--tun-type gue --tun-port 6080 --tun-nocsum --tun-csum",
            conflict("tun-csum", "tun-nocsum", "gue"),
        ),
        ("--tun-type gre", ""),
        ("--tun-type gre --tun-csum", ""),
        ("--tun-type gre --tun-port 6080", illegal("tun-port", "gre")),
        ("--tun-type gre --tun-remcsum", illegal("tun-remcsum", "gre")),
        ("--tun-type gre --tun-nocsum --tun-csum", conflict("tun-csum", "tun-nocsum", "gre")),
        ("--tun-type ipip", ""),
        ("--tun-port 6080", illegal("tun-port", "ipip")),
        ("--tun-nocsum", illegal("tun-nocsum", "ipip")),
    ],
)
def test_tunnel_options_fit_the_type(options: str, error: str) -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80")
    result = face(f"-a -t 10.9.0.1:80 -r 10.2.0.1 -i {options}")
    assert (result.status, result.error) == (2 if error else 0, error)
