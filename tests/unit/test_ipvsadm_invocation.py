"""How a command line becomes a command and options, and what happens before anything else."""

from __future__ import annotations

import errno
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbfast.cli import ipvsadm
from lbfast.cli.words import OPTIONS
from lbfast.control.api import Balancer
from lbfast.errors import ControlError, KernelError
from tests.fake_balancer import FakeBalancer
from tests.ipvsadm_face import Face, FakeNames, Result

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"
EMPTY_LISTING = (
    "IP Virtual Server version 1.2.1 (size=4096)\n"
    "Prot LocalAddress:Port Scheduler Flags\n"
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
)


@pytest.mark.covers("C-340", "C-373")
@pytest.mark.parametrize(
    "line",
    ["-n -L", "-nL", "-t 10.9.0.1:80 -A", "-X", "--nosuch", "foo", "--", "-- -L", "''", "--lis"],
)
def test_first_option_is_no_command_points_to_help(line: str) -> None:
    assert Face()(line) == Result(255, "", TRY_HELP)


@pytest.mark.covers("C-340")
@pytest.mark.parametrize("line", ["--start-daemon", "--list=5", "-L=n", "--clear=1"])
def test_command_that_cannot_be_read_points_to_help(line: str) -> None:
    assert Face()(line, prog="/sbin/ipvsadm") == Result(
        255, "", TRY_HELP.replace("ipvsadm", "/sbin/ipvsadm")
    )


@pytest.mark.covers("C-341", "C-373")
@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-A -D -t 10.9.0.8:80", "-D"),
        ("-AD -t 10.9.0.8:80", "-AD"),
        ("-A --start-daemon master", "master"),
        ("-L --help", "--help"),
        ("-L -v", "-v"),
        ("-A -l", "-l"),
    ],
)
def test_second_command_is_an_invalid_option(line: str, word: str) -> None:
    assert Face()(line) == Result(2, "", f"invalid option `{word}'\n")


@pytest.mark.covers("C-342", "C-380")
def test_no_words_list_everything() -> None:
    face = Face()
    assert face("") == Result(0, EMPTY_LISTING, "")
    face.all("-A -t 10.9.0.50:80\n-a -t 10.9.0.50:80 -r 10.2.0.1 -m\n-A -u 10.9.0.1:53")
    assert face("") == face("-L") != face("-Ln")


@pytest.mark.covers("C-352")
def test_short_options_combine_the_last_with_its_value() -> None:
    face = Face()
    face.all("-At10.9.0.1:80 -srr -p600\n-at 10.9.0.1:80 -mr 10.2.0.1:8080 -w=7")
    assert face("-Sn").output == (
        "-A -t 10.9.0.1:80 -s rr -p 600\n-a -t 10.9.0.1:80 -r 10.2.0.1:8080 -m -w 7\n"
    )


@pytest.mark.covers("C-367")
@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-S -n extra", "extra"),
        ("foo -L", "foo"),
        ("-L -- -n", "-n"),
        ("-L first second", "first"),
        ("--set 1 2 3 4", "4"),
    ],
)
def test_word_left_over_is_unexpected(line: str, word: str) -> None:
    assert Face()(line) == Result(2, "", f"unexpected argument {word}\n")


@pytest.mark.covers("C-368", "C-373")
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-L --foo", "--foo: unknown option"),
        ("-L --foo=5", "--foo=5: unknown option"),
        ("-Lnq", "-Lnq: unknown option"),
        ("--set -1 2 3", "-1: unknown option"),
        ("-A -z 10.2.0.9", "-z: unknown option"),
        ("-Lx", "-Lx: missing argument"),
        ("-A -t", "-t: missing argument"),
        ("-A --start-daemon", "--start-daemon: missing argument"),
        ("-L --numeric=5", "--numeric=5: option does not take an argument"),
        ("-L --stats=", "--stats=: option does not take an argument"),
    ],
)
def test_word_that_cannot_be_read_after_the_command(line: str, error: str) -> None:
    assert Face()(line) == Result(255, "", f"{error}\n")


@pytest.mark.covers("C-348")
@pytest.mark.parametrize("line", ["-L --sort", "-Ln --sort --sort", "-C --sort", "-Z --sort"])
def test_sort_is_taken_everywhere_and_does_nothing(line: str) -> None:
    assert Face()(line).status == 0


def init_failure(failure: Exception, line: str) -> Result:
    def factory() -> Balancer:
        raise failure

    output, error = io.StringIO(), io.StringIO()
    status = ipvsadm.main(
        ["ipvsadm", *line.split()], factory, stdin=io.StringIO(), stdout=output, stderr=error
    )
    return Result(status, output.getvalue(), error.getvalue())


@pytest.mark.covers("C-378", "C-373")
@pytest.mark.parametrize("line", ["-Ln", "-h", "-v", "--nosuch", ""])
@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (ControlError("no lbfast daemon runs"), "no lbfast daemon runs"),
        (PermissionError(errno.EACCES, "no"), "Permission denied (you must be root)"),
        (KernelError(errno.ENOPROTOOPT), "Protocol not available"),
    ],
)
def test_no_balancer_is_said_before_anything_else(line: str, failure: Exception, why: str) -> None:
    assert init_failure(failure, line) == Result(
        2,
        "",
        f"Can't initialize ipvs: {why}\n"
        "Are you sure that IP Virtual Server is built in the kernel or as module?\n",
    )


@pytest.mark.covers("C-418")
@pytest.mark.parametrize("line", ["-v", "--version", "-vfoo", "-v -n"])
def test_version_is_ipvsadms(line: str) -> None:
    text = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
    assert Face()(line, prog="/sbin/other") == Result(0, text, "")


@pytest.mark.covers("C-419")
@pytest.mark.parametrize("line", ["-h", "--help", "-h foo", "-hfoo"])
def test_help_goes_to_standard_output_with_the_name_called_by(line: str) -> None:
    result = Face()(line, prog="/sbin/other")
    assert (result.status, result.error) == (0, "")
    lines = result.output.splitlines()
    assert lines[0] == "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)"
    assert lines[2].startswith("  /sbin/other -A|E virtual-service")
    assert "rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh" in result.output


@pytest.mark.covers("C-417")
def test_zero_takes_one_service_or_all() -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80\n-Z\n-Z -t 10.9.0.1:80")
    (key,) = face.balancer.table
    assert face.balancer.zeroed == [None, key]
    assert face("-Z -t 10.9.0.2:80") == Result(255, "", "No such service\n")


@pytest.mark.covers("C-420", "C-403")
def test_set_says_nothing_and_keeps_what_is_zero() -> None:
    face = Face()
    assert face("--set 1800 0 7") == Result(0, "", "")
    assert face("-L --timeout").output == "Timeout (tcp tcpfin udp): 1800 120 7\n"


WORDS = st.one_of(
    st.sampled_from([f"--{option.long}" for option in OPTIONS]),
    st.sampled_from([f"-{option.short}" for option in OPTIONS if option.short]),
    st.sampled_from(["10.9.0.1:80", "[fd00::1]:80", "fd00::1", "rr", "5", "gue", "master", "--"]),
    st.text(max_size=8),
)


@given(st.lists(WORDS, max_size=8), st.text(max_size=60))
@settings(max_examples=300)
def test_any_words_end_with_a_known_status(words: list[str], stdin: str) -> None:
    face = Face()
    face.all("-A -t 10.9.0.1:80\n-a -t 10.9.0.1:80 -r 10.2.0.1")
    result = face(words, stdin)
    assert result.status in (0, 1, 2, 255)
    assert bool(result.error) or result.status == 0


def test_balancer_is_closed_after_each_run() -> None:
    class Connected(FakeBalancer):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    balancer = Connected()
    face = Face(balancer, FakeNames())
    for line in ("-Ln", "--nosuch", "-A"):
        face(line)
    assert balancer.closed == 3
