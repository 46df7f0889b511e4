"""Saving a table as words and making it again from them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lbfast.cli import tool
from lbfast.cli.format import Style
from lbfast.cli.rules import service_rules
from lbfast.model import (
    AF_INET,
    Method,
    RealServer,
    ServerKey,
    ServerState,
    ServiceKey,
    ServiceState,
    VirtualService,
)
from tests.fake_balancer import FakeBalancer
from tests.ipvsadm_face import Face, Result

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"
EVERYTHING = """\
-A -t 10.9.0.2:80 -s rr
-a -t 10.9.0.2:80 -r 10.2.0.1:8080 -m -w 100
-A -t 10.9.0.2:443 -s sh -p 600 -M 255.255.255.0 -b sh-fallback,sh-port
-A -u 10.9.0.2:53 -s mh -o -b mh-port
-a -u 10.9.0.2:53 -r 10.2.0.3:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum
-a -u 10.9.0.2:53 -r 10.2.0.4:53 -i -w 1 --tun-type gre --tun-csum
-a -u 10.9.0.2:53 -r 10.2.0.5:53 -i -w 0 --tun-type ipip
-A --sctp-service 10.9.0.2:2904 -s rr
-A -t [fd00:9::1]:80 -s wlc -p 50 -M 64
-A -f 7 -s wlc -p 300 --pe sip
-A -f 9 -6 -s nq -b flag-1,flag-3
-a -f 9 -6 -r [fd00:2::4]:0 -g -w 1
"""


@pytest.mark.covers("C-405", "C-406", "C-407", "C-410")
def test_saved_table_restores_to_itself() -> None:
    face = Face()
    assert face("-R", EVERYTHING) == Result(0, "", "")
    assert face("-Sn") == Result(0, EVERYTHING, "")
    other = Face()
    assert other("--restore", face("-Sn").output) == Result(0, "", "")
    assert other("--save --numeric").output == EVERYTHING


@pytest.mark.covers("C-405")
@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        ("-t 10.9.0.1:80 -M 255.0.0.0 -s rr", "-t 10.9.0.1:80 -s rr"),
        (
            "-u 10.9.0.1:80 --pe sip -o -b flag-2 -s rr",
            "-u 10.9.0.1:80 -s rr --pe sip -o -b flag-2",
        ),
        ("-t 10.9.0.1:80 -p -M 255.255.255.255", "-t 10.9.0.1:80 -s wlc -p 360"),
        ("-f 4294967295", "-f -1 -s wlc"),  # marks are printed as signed numbers
    ],
)
def test_service_line(typed: str, saved: str) -> None:
    face = Face()
    face.all(f"-A {typed}")
    assert face("-Sn").output == f"-A {saved}\n"


@pytest.mark.covers("C-407")
@pytest.mark.parametrize(
    ("typed", "saved"),
    [
        ("", "--tun-type ipip"),
        ("--tun-type gue --tun-port 77", "--tun-type gue --tun-port 77 --tun-nocsum"),
        ("--tun-type gre", "--tun-type gre --tun-nocsum"),
        ("--tun-type gre --tun-csum", "--tun-type gre --tun-csum"),
    ],
)
def test_tunnel_words(typed: str, saved: str) -> None:
    face = Face()
    face.all(f"-A -t 10.9.0.1:80\n-a -t 10.9.0.1:80 -r 10.2.0.1 -i {typed}")
    assert face("-Sn").output.endswith(f"-a -t 10.9.0.1:80 -r 10.2.0.1:80 -i -w 1 {saved}\n")


@pytest.mark.covers("C-408")
def test_thresholds_and_timeouts_are_not_saved() -> None:
    face = Face()
    face.all("--set 7 8 9\n-A -t 10.9.0.1:80\n-a -t 10.9.0.1:80 -r 10.2.0.1 -x 9 -y 3")
    assert face("-Sn").output == (
        "-A -t 10.9.0.1:80 -s wlc\n-a -t 10.9.0.1:80 -r 10.2.0.1:80 -g -w 1\n"
    )


@pytest.mark.covers("C-409")
def test_local_server_is_saved_as_direct_routing() -> None:
    key = ServiceKey(AF_INET, 6, b"\x0a\x09\0\1", 80)
    server = RealServer(ServerKey(AF_INET, b"\x0a\x02\0\1", 80), Method.LOCAL)
    state = ServiceState(VirtualService(key), (ServerState(server),))
    assert list(service_rules(state, Style()))[1] == ("-a -t 10.9.0.1:80 -r 10.2.0.1:80 -g -w 1\n")


@pytest.mark.covers("C-410")
def test_save_without_numeric_resolves_names() -> None:
    face = Face()
    face.all("-A -t 10.9.0.50:80\n-a -t 10.9.0.50:80 -r 10.2.0.1:80")
    assert face("-S").output == (
        "-A -t vip.example.org:http -s wlc\n-a -t vip.example.org:http -r 10.2.0.1:http -g -w 1\n"
    )


@pytest.mark.covers("C-411", "C-412")
@pytest.mark.parametrize(
    "rules",
    [
        "-A -t 10.9.0.1:80 -s rr",
        "-A -t 10.9.0.1:80 -s rr\n",
        "ipvsadm -A -t 10.9.0.1:80 -s rr\r\n",
        "\n \t\r\n-A\t-t  10.9.0.1:80   -s\trr \n\n",
        "-A -t ipvsadm 10.9.0.1:80 -s rr ipvsadm\nipvsadm\n",
        "-A -t 10.9.0.1:80\r-s rr\n",
    ],
)
def test_rules_are_words_between_blanks(rules: str) -> None:
    face = Face()
    assert face("-R", rules) == Result(0, "", "")
    assert face("-Sn").output == "-A -t 10.9.0.1:80 -s rr\n"


@pytest.mark.covers("C-413", "C-414", "C-415")
@pytest.mark.parametrize(
    ("rules", "status", "error", "applied"),
    [
        ("# no comment\n-A -t 10.9.0.1:80\n", 255, TRY_HELP, 0),
        ("-A -t 10.9.0.1:80\nnonsense\n-A -t 10.9.0.2:80\n", 255, TRY_HELP, 1),
        ("-A -t 10.9.0.1:80 # no comment\n", 2, "unexpected argument #\n", 0),
        (
            "-A -t 10.9.0.1:80\n-A -t 10.9.0.2:80 -w 3\n-A -t 10.9.0.3:80\n",
            2,
            "Illegal 'weight' option with the 'add-service' command\n",
            1,
        ),
        (
            "-A -t '10.9.0.1:80'\n",
            2,
            "illegal virtual server address[:port] specified\n",
            0,
        ),
        (
            "-A -t 10.9.0.1:80\n-A -t 10.9.0.1:80\n-A -t 10.9.0.2:80\n",
            0,
            "Service already exists\n",
            2,
        ),
        ("-A -t 10.9.0.1:80\n-A -t 10.9.0.1:80\n", 255, "Service already exists\n", 1),
        ("-A --foo\n-A -t 10.9.0.2:80\n", 0, "--foo: unknown option\n", 1),
        ("-A -t 10.9.0.1:80\n-R\n-A -t 10.9.0.2:80\n", 255, TRY_HELP, 1),
        ("-L -t 10.9.0.9:80\n-A -t 10.9.0.2:80\n", 1, "No such service\n", 0),
        ("", 0, "", 0),
    ],
)
def test_rule_that_fails(rules: str, status: int, error: str, applied: int) -> None:
    face = Face()
    assert face("-R", rules) == Result(status, "", error)
    assert len(face.balancer.table) == applied


def test_listing_between_rules_is_printed() -> None:
    result = Face()("-R", "-L --timeout\n--set 1 2 3\n-L --timeout\n-v\n-C\n")
    assert result.output == (
        "Timeout (tcp tcpfin udp): 900 120 300\n"
        "Timeout (tcp tcpfin udp): 1 2 3\n"
        "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
    )


class Scripts:
    """ipvsadm-save and ipvsadm-restore on a balancer in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.face = Face()
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(tool, "connect", lambda: self.face.balancer)

    def __call__(self, words: str, stdin: str = "") -> int:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        argv = words.split()
        return tool.run_as(Path(argv[0]).name, argv)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Scripts:
    return Scripts(monkeypatch)


@pytest.mark.covers("C-416")
def test_restore_script_clears_and_skips_comments(scripts: Scripts) -> None:
    scripts.face.all("-A -t 10.9.0.9:80")
    assert scripts("/sbin/ipvsadm-restore -n", "# saved\n-A -t 10.9.0.1:80\n#\n") == 0
    assert scripts.face("-Sn").output == "-A -t 10.9.0.1:80 -s wlc\n"
    assert scripts("ipvsadm-restore", " # not at the beginning\n-A -t 10.9.0.2:80\n") == 255
    assert scripts.face("-Sn").output == ""


@pytest.mark.covers("C-410", "C-416")
@pytest.mark.parametrize(
    ("words", "status", "output"),
    [
        ("ipvsadm-save -n", 0, "-A -t 127.0.0.1:9 -s wlc\n"),
        ("ipvsadm-save foo -n", 0, "-A -t 127.0.0.1:9 -s wlc\n"),
        ("ipvsadm-save -c", 1, ""),
        ("ipvsadm-save --numeric", 1, ""),
    ],
)
def test_save_script(
    scripts: Scripts, capsys: pytest.CaptureFixture[str], words: str, status: int, output: str
) -> None:
    scripts.face.all("-A -t 127.0.0.1:9")
    assert scripts(words) == status
    printed = capsys.readouterr()
    assert printed.out == output
    assert printed.err.startswith("ipvsadm-save: Script to save") == bool(status)


def test_restore_does_not_clear_by_itself() -> None:
    face = Face(FakeBalancer())
    face.all("-A -t 10.9.0.9:80")
    assert face("-R", "-A -t 10.9.0.1:80").status == 0
    assert len(face.balancer.table) == 2


def test_rules_of_a_file_are_refused_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "\n-A -t 10.9.0.2:80 -s rr\n-a -t 10.9.0.3:80 -r 10.2.0.1\n-A -t bad -s rr\n"
    said = {}
    for name in ("", "/etc/ipvsadm.rules"):
        monkeypatch.setenv(tool.RULES_VARIABLE, name)
        monkeypatch.setattr(tool, "connect", FakeBalancer)
        monkeypatch.setattr("sys.stdin", io.StringIO(rules))
        assert tool.run_as("ipvsadm", ["ipvsadm", "-R"]) == 2
        said[name] = capsys.readouterr().err.splitlines()
    bare = said[""]
    assert said["/etc/ipvsadm.rules"] == [
        f"/etc/ipvsadm.rules:3: {bare[0]}", f"/etc/ipvsadm.rules:4: {bare[1]}", *bare[2:],
    ]  # fmt: skip
