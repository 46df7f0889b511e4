"""What is said when the kernel refuses, and with which status it ends."""

from __future__ import annotations

import errno
import socket

import pytest

from lbfast.cli.kernelerrors import kernel_error_text
from lbfast.errors import ControlError, KernelError
from lbfast.model import ServiceKey, ServiceState, SyncDaemon
from tests.fake_balancer import FakeBalancer
from tests.ipvsadm_face import Face, Result

TABLE = "-A -t 10.9.0.1:80 -s rr\n-a -t 10.9.0.1:80 -r 10.2.0.1 -m"
INVALID = "Invalid operation.  Possibly wrong module version, address not unicast, ..."
NO_SCHEDULER = "Scheduler or persistence engine not found"


@pytest.mark.covers("C-373", "C-374", "C-375", "C-376")
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-A -t 10.9.0.1:80 -s nosuch", "Service already exists"),
        ("-A -t 10.9.0.2:80 -s nosuch", NO_SCHEDULER),
        ("-A -t 10.9.0.2:80 -p --pe nosuch", NO_SCHEDULER),
        ("-E -t 10.9.0.1:80 -s nosuch", NO_SCHEDULER),
        ("-E -t 10.9.0.2:80", "No such service"),
        ("-D -t 10.9.0.2:80", "No such service"),
        ("-D -f 7", "No such service"),
        ("-Z -t 10.9.0.2:80", "No such service"),
        ("-a -t 10.9.0.1:80 -r 10.2.0.1 -m", "Destination already exists"),
        ("-a -t 10.9.0.2:80 -r 10.2.0.1 -m", "Service not defined"),
        ("-e -t 10.9.0.2:80 -r 10.2.0.1 -m", "Service not defined"),
        ("-d -t 10.9.0.2:80 -r 10.2.0.1", "Service not defined"),
        ("-e -t 10.9.0.1:80 -r 10.2.0.2 -m", "No such destination"),
        ("-d -t 10.9.0.1:80 -r 10.2.0.2", "No such destination"),
        ("-a -t 10.9.0.1:80 -r 10.2.0.3 -x 5 -y 9", "Numerical result out of range"),
        ("-a -t 10.9.0.1:80 -r 0.0.0.0", INVALID),
        ("-a -t 10.9.0.1:80 -r 224.0.0.1", INVALID),
        ("--stop-daemon master", "No daemon is running"),
        ("--start-daemon backup --mcast-interface d0", "Daemon has already run"),
        ("--start-daemon master --mcast-interface nosuch0", "No such device"),
    ],
)
def test_refusal_is_said_in_ipvsadms_words(line: str, error: str) -> None:
    face = Face()
    face.all(TABLE + "\n--start-daemon backup --mcast-interface d0")
    assert face(line) == Result(255, "", error + "\n")


@pytest.mark.covers("C-373", "C-374")
def test_listing_of_an_absent_service_ends_with_one_and_prints_nothing() -> None:
    for line in ("-L -t 10.9.0.99:80 -n", "-L -f 9", "-L -u 10.9.0.99:53 --stats"):
        assert Face()(line) == Result(1, "", "No such service\n")


@pytest.mark.covers("C-377")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.EPERM, "Permission denied (you must be root)"),
        (errno.EINVAL, INVALID),
        (errno.ENOPROTOOPT, "Protocol not available"),
        (errno.ENOMEM, "Memory allocation problem"),
        (errno.EOPNOTSUPP, "Operation not supported with IPv6"),
        (errno.EAFNOSUPPORT, "Operation not supported with specified address family"),
        (errno.EMSGSIZE, "Module is wrong version"),
        (errno.ERANGE, "Numerical result out of range"),
        (errno.ENOBUFS, "No buffer space available"),
    ],
)
@pytest.mark.parametrize("command", ["add-service", "delete-server", "list", "set"])
def test_generic_texts(command: str, code: int, text: str) -> None:
    assert kernel_error_text(command, code) == text


class Unwilling(FakeBalancer):
    """Answers every listing and every daemon with a sentence."""

    def services(self) -> list[ServiceState]:
        raise ControlError("the lbfast daemon closed the connection")

    def service(self, key: ServiceKey) -> ServiceState:
        raise KernelError(errno.EPERM)

    def start_daemon(self, daemon: SyncDaemon) -> None:
        raise ControlError("connection synchronisation is not built yet")


@pytest.mark.covers("C-373")
@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("", 1, "the lbfast daemon closed the connection"),
        ("-Ln", 1, "the lbfast daemon closed the connection"),
        ("-Sn", 1, "the lbfast daemon closed the connection"),
        ("-L -t 10.9.0.1:80", 1, "Permission denied (you must be root)"),
        ("--start-daemon master", 255, "connection synchronisation is not built yet"),
    ],
)
def test_what_the_director_cannot_do_is_one_sentence(line: str, status: int, error: str) -> None:
    assert Face(Unwilling())(line) == Result(status, "", error + "\n")


LADDR = "10.2.255.254"


def test_local_addresses_come_go_and_are_listed() -> None:
    face = Face()
    face.all(
        "-A -t 10.9.0.1:80 -s rr\n"
        "-A -f 7\n"
        "-a -t 10.9.0.1:80 -r 10.2.0.1:8080 --fullnat -w 3\n"
        f"--add-laddr -t 10.9.0.1:80 -z {LADDR}\n"
        "--add-laddr -t 10.9.0.1:80 --laddr 10.2.255.253"
    )
    rows = "Prot VirtualAddress:Port\n  -> LocalAddress\nTCP  10.9.0.1:80\n"
    assert face("--list-laddr -n").output == rows + f"  -> {LADDR}\n  -> 10.2.255.253\n"
    face.all("--del-laddr -t 10.9.0.1:80 -z 10.2.255.253")
    assert face("--list-laddr -n -t 10.9.0.1:80").output == rows + f"  -> {LADDR}\n"
    assert "  -> 10.2.0.1:8080                FullNat 3      0          0         \n" in (
        face("-Ln").output
    )
    assert face("-Sn").output == (
        "-A -t 10.9.0.1:80 -s rr\n"
        f"--add-laddr -t 10.9.0.1:80 -z {LADDR}\n"
        "-a -t 10.9.0.1:80 -r 10.2.0.1:8080 --fullnat -w 3\n"
        "-A -f 7 -s wlc\n"
    )


def test_local_addresses_have_short_words_and_are_saved_without_servers() -> None:
    face = Face()
    face.all(f"-A -t 10.9.0.1:80\n-P -t 10.9.0.1:80 -z {LADDR}")
    saved = f"-A -t 10.9.0.1:80 -s wlc\n--add-laddr -t 10.9.0.1:80 -z {LADDR}\n"
    assert face("-Sn").output == saved
    assert f"  -> {LADDR}\n" in face("-G -n").output
    face.all(f"-Q -t 10.9.0.1:80 -z {LADDR}")
    assert LADDR not in face("-Gn").output


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        (f"--add-laddr -t 10.9.0.1:80 -z {LADDR}", 255, "Local address already exists"),
        (f"--add-laddr -t 10.9.0.2:80 -z {LADDR}", 255, "Service not defined"),
        ("--del-laddr -t 10.9.0.1:80 -z 10.2.0.9", 255, "No such local address"),
        ("--list-laddr -t 10.9.0.2:80", 1, "No such service"),
        ("--add-laddr -t 10.9.0.1:80 -z 10.2.0.9:80", 2, "illegal local address specified"),
        (
            "--add-laddr -t 10.9.0.1:80",
            2,
            "You need to supply the 'laddr' option for the 'add-laddr' command",
        ),
        (
            "--del-laddr -t 10.9.0.1:80 -z 10.2.0.9 -w 3",
            2,
            "Illegal 'weight' option with the 'del-laddr' command",
        ),
    ],
)
def test_local_addresses_that_cannot_be(line: str, status: int, error: str) -> None:
    face = Face()
    face.all(f"-A -t 10.9.0.1:80\n--add-laddr -t 10.9.0.1:80 -z {LADDR}")
    assert face.balancer.laddrs(next(iter(face.balancer.table))) == [socket.inet_aton(LADDR)]
    assert face(line) == Result(status, "", error + "\n")
