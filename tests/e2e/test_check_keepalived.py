"""Health checks beside keepalived's own: the bytes, the judgements, what follows, and when."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from lbfast.selfcall import environment
from tests.e2e.checkpeer import SIDES, Peers, missing, topology
from tests.e2e.conftest import Networks

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

KINDS = """
global_defs {
    router_id peers
    script_user root
}
virtual_server 10.7.0.100 80 {
    delay_loop 30
    warmup 0
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.7.0.11 80 {
        HTTP_GET {
            connect_port 8080
            bindto OWN
            url { path "/first page" }
        }
        HTTP_GET {
            connect_port 8080
            bindto OWN
            http_protocol 1.1
            virtualhost www.example
            url { path /second?a=b }
        }
        HTTP_GET {
            connect_port 8080
            bindto OWN
            http_protocol 1.0C
            virtualhost www.example
            url {
                path /third
                virtualhost other.example:81
            }
        }
        SMTP_CHECK {
            connect_port 25
            bindto OWN
        }
        SMTP_CHECK {
            connect_port 25
            bindto OWN
            helo_name me.example
        }
        DNS_CHECK {
            connect_port 53
            bindto OWN
        }
        DNS_CHECK {
            connect_port 53
            bindto OWN
            type AAAA
            name www.example.com
        }
        UDP_CHECK {
            connect_port 99
            bindto OWN
        }
        UDP_CHECK {
            connect_port 98
            bindto OWN
            payload 01 2 ff03
            require_reply 70 6f6e
        }
        PING_CHECK {
            bindto OWN
        }
    }
}
"""


def without_identifiers(kind: str, data: bytes) -> bytes:
    """The bytes without what differs from attempt to attempt."""
    if kind == "dns":
        return data[2:]
    if kind == "ping":
        return data[:2] + data[8:]  # checksum, identifier, sequence
    return data


@pytest.mark.covers("CHK-10", "CHK-12", "CHK-21", "CHK-22", "CHK-25")
def test_bytes_sent_are_those_of_keepalived(network: Networks) -> None:
    peers = Peers(network(topology()), KINDS)
    expected = {"http": 3, "smtp": 4, "dns": 2, "quiet": 1, "echo": 1, "ping": 1}

    def complete(side: str) -> bool:
        return Counter(kind for kind, _ in peers.heard(side)) == expected

    peers.wait_for_both(complete, "every kind of request")
    sent = {
        side: Counter((kind, without_identifiers(kind, data)) for kind, data in peers.heard(side))
        for side in SIDES
    }
    assert sent["lbfast"] == sent["keepalived"]
    assert peers.table("lbfast", "10.7.0.100:80") == {"10.7.0.11:80": 1}
    peers.end()


def test_genhash_prints_what_genhash_prints(network: Networks) -> None:
    peers = Peers(network(topology()), KINDS)
    own = [sys.executable, "-m", "lbfast", "genhash"]
    words = ["-s", "10.7.0.11", "-p", "8080", "-u", "/a"]
    for more in ([], ["-v"], ["-P", "1.1", "-V", "www.example"]):
        said = []
        for program in (["genhash"], own):
            done = peers.net.run("director", [*program, *words, *more], environment=environment())
            said.append([line for line in done.stdout.split("\n") if "response time" not in line])
        assert said[0] == said[1]
    asked = [data for kind, data in peers.heard("keepalived") if data.startswith(b"GET /a ")]
    assert asked[0::2] == asked[1::2]
    assert len(asked) == 6
    peers.end()


STATES = """
global_defs {
    router_id peers
    script_user root
}
virtual_server 10.7.0.100 80 {
    delay_loop 1
    delay_before_retry 1
    connect_timeout 1
    warmup 0
    lb_algo rr
    lb_kind NAT
    protocol TCP
    quorum 3
    hysteresis 1
    quorum_up "/bin/sh SCRATCH/note SIDE quorum_up"
    quorum_down "/bin/sh SCRATCH/note SIDE quorum_down"
    real_server 10.7.0.11 80 {
        weight 1
        notify_up "/bin/sh SCRATCH/note SIDE up 11"
        notify_down "/bin/sh SCRATCH/note SIDE down 11"
        HTTP_GET {
            connect_port 8080
            retry 2
            url {
                path /a
                digest DIGEST
            }
            url { path /b }
        }
    }
    real_server 10.7.0.12 80 {
        weight 2
        inhibit_on_failure
        notify_up "/bin/sh SCRATCH/note SIDE up 12"
        notify_down "/bin/sh SCRATCH/note SIDE down 12"
        DNS_CHECK {
            connect_port 53
            retry 0
        }
    }
    real_server 10.7.0.13 80 {
        weight 1
        alpha
        notify_up "/bin/sh SCRATCH/note SIDE up 13"
        notify_down "/bin/sh SCRATCH/note SIDE down 13"
        TCP_CHECK {
            connect_port 8080
        }
    }
}
virtual_server 10.7.0.101 80 {
    delay_loop 1
    delay_before_retry 1
    connect_timeout 1
    warmup 0
    lb_algo rr
    lb_kind NAT
    protocol TCP
    sorry_server 10.7.0.15 8088
    real_server 10.7.0.14 80 {
        SMTP_CHECK {
            connect_port 25
        }
    }
    real_server 10.7.0.13 80 {
        inhibit_on_failure
        UDP_CHECK {
            connect_port 98
            require_reply
            retry 1
        }
    }
}
"""
NOTE = """side=$1
shift
echo "$*" >>SCRATCH/$side.notes
"""
SLACK_S = 0.8  # two processes on a busy machine


@pytest.mark.covers("CHK-01", "CHK-02", "CHK-16", "CHK-32", "QUO-02")
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param("body", id="another page"),
        pytest.param("status", id="a redirect", marks=pytest.mark.long),
        pytest.param("silent", id="no answer after accept", marks=pytest.mark.long),
        pytest.param("close", id="closed without an answer", marks=pytest.mark.long),
    ],
)
def test_edits_and_scripts_are_those_of_keepalived(network: Networks, failure: str) -> None:
    net = network(topology())
    (net.scratch / "note").write_text(NOTE.replace("SCRATCH", str(net.scratch)))
    digest = "2670f929ce8c93af815ba0ae8fd591ff"
    peers = Peers(net, STATES.replace("DIGEST", digest))
    first, second = "10.7.0.100:80", "10.7.0.101:80"
    up = {"10.7.0.11:80": 1, "10.7.0.12:80": 2, "10.7.0.13:80": 1}
    well, sorry = {"10.7.0.14:80": 1, "10.7.0.13:80": 1}, {"10.7.0.13:80": 0, "10.7.0.15:8088": 1}

    peers.wait_for_table(first, up)
    peers.wait_for_table(second, well)
    peers.mode(failure)  # and NXDOMAIN, 554, no pong; the connections are taken
    peers.wait_for_table(first, {"10.7.0.12:80": 0, "10.7.0.13:80": 1})
    peers.wait_for_table(second, sorry)
    peers.mode("ok")
    peers.wait_for_table(first, up)
    peers.wait_for_table(second, well)
    peers.end()

    assert peers.commands("lbfast", first) == peers.commands("keepalived", first)
    assert sorted(peers.commands("lbfast", second)) == sorted(peers.commands("keepalived", second))
    assert Counter(peers.notes("lbfast")) == Counter(peers.notes("keepalived"))
    assert set(peers.notes("lbfast")) >= {"quorum_up", "quorum_down", "up 13", "down 11"}
    for side in SIDES:  # the alpha server's first success, a second after the start
        assert 1.0 <= peers.times(side, first)[3] < 1.0 + SLACK_S


RELOADED = """
global_defs {
    router_id peers
    script_user root
}
virtual_server 10.7.0.100 80 {
    delay_loop 1
    warmup 0
    ALGO
    lb_kind NAT
    protocol TCP
    quorum QUORUM
    quorum_up "/bin/sh SCRATCH/note SIDE quorum_up"
    quorum_down "/bin/sh SCRATCH/note SIDE quorum_down"
SERVERS}
"""
ONE = """
    real_server 10.7.0.{0} 80 {{
        weight {1}
        {3}
        notify_up "/bin/sh SCRATCH/note SIDE up {0}"
        notify_down "/bin/sh SCRATCH/note SIDE down {0}"
        TCP_CHECK {{
            connect_port {2}
        }}
    }}
"""


def reloaded(algorithm: str, quorum: int, *servers: str) -> str:
    text = RELOADED.replace("ALGO", f"lb_algo {algorithm}").replace("QUORUM", str(quorum))
    return text.replace("SERVERS", "".join(servers))


@pytest.mark.covers("SIG-04", "SIG-05", "SIG-06")
def test_reload_does_what_keepalived_does(network: Networks) -> None:
    net = network(topology())
    (net.scratch / "note").write_text(NOTE.replace("SCRATCH", str(net.scratch)))
    good, bad, service = 8080, 9, "10.7.0.100:80"
    first = (ONE.format(11, 1, good, ""), ONE.format(12, 2, good, ""), ONE.format(13, 3, bad, ""))
    peers = Peers(net, reloaded("rr", 1, *first))
    peers.wait_for_table(service, {"10.7.0.11:80": 1, "10.7.0.12:80": 2})

    # another weight, one server less, one more, one of alpha; the one that is down stays down
    second = (ONE.format(11, 7, good, ""), first[2], ONE.format(14, 4, good, ""),
              ONE.format(15, 5, good, "alpha"))  # fmt: skip
    peers.reload(reloaded("wrr", 1, *second))
    then = {"10.7.0.11:80": 7, "10.7.0.14:80": 4, "10.7.0.15:80": 5}
    peers.wait_for_table(service, then)
    peers.reload(reloaded("wrr", 17, *second))  # more than is up, as one of 19 is down
    peers.wait_for_both(lambda side: "quorum_down" in peers.notes(side), "the loss of the quorum")
    peers.end()
    assert sorted(peers.commands("lbfast")) == sorted(peers.commands("keepalived"))
    assert Counter(peers.notes("lbfast")) == Counter(peers.notes("keepalived"))
