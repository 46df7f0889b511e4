"""Rows of the checklist that the kernel's recordings decide: which, and that they are the same."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from tests.conformance.test_replays import REPLAYS
from tests.conformance.test_replays import test_data_path_does_what_the_kernel_did as play

PLAYED = {path.stem: path for path in REPLAYS}
DECIDED = {
    "C-048": "o-sysctl-reuse1",
    "C-049": "o-sysctl-reuse0",
    "C-050": "o-sysctl-reuse-dr2 o-sysctl-reuse-dr1",
    "C-053": "o-removed-nodest0-dr",
    "C-054": "o-removed-nodest1-nat",
    "C-057": "o-sysctl-sloppy0",
    "C-059": "o-sysctl-sloppy1",
    "C-060": "o-sctp-dr-firsts o-sctp-dr-sloppy",
    "C-070": "o-wire-natsend1 o-wire-natsend0",
    "C-073": "o-noserver-rr o-noserver-sh o-noserver-wlc",
    "C-080": "o-wire-icmp-client-nat",
    "C-081": "o-wire-icmp-client-nat-v6",
    "C-086": "o-wire-schedicmp1-dr",
    "C-087": "o-wire-icmp-tunnel o-wire-icmp-tunnel-gre",
    "C-088": "o-wire-icmp-tunnel",
    "C-089": "o-wire-icmp-tunnel",
    "C-091": "o-wire-icmp-server-nat o-wire-icmp-server-nat-v6",
    "C-093": "o-sysctl-droppacket-3 o-sysctl-droppacket-10",
    "C-098": "o-sysctl-securetcp3-nat-normal o-sysctl-securetcp3-dr-normal",
    "C-117": "o-wire-nat o-wire-nat-v6",
    "C-126": "o-wire-dr o-wire-dr-v6",
    "C-129": "o-wire-tun o-wire-tun-v6 o-wire-tun-gre o-wire-tun-gue",
    "C-139": "o-wire-dr-mtu o-wire-nat-mtu",
    "C-140": "o-wire-tun-mtu",
    "C-141": "o-wire-pmtudisc0-tun",
    "C-143": "o-wire-frag-dr o-wire-frag-nat o-wire-frag-tun",
    "C-145": "o-wire-icmp-client-nat",
    "C-162": "o-tcp-nat-normal",
    "C-163": "o-tcp-dr-normal o-tcp-tun-normal",
    "C-164": "o-tcp-nat-normal o-tcp-dr-normal",
    "C-165": "o-tcp-nat-server-close",
    "C-166": "o-tcp-nat-normal o-tcp-nat-server-close",
    "C-167": "o-tcp-nat-client-rst o-tcp-dr-client-rst o-tcp-nat-server-rst",
    "C-170": "o-tcp-nat-reopen o-tcp-dr-reopen",
    "C-179": "o-sctp-nat-normal o-sctp-dr-normal",
    "C-180": "o-sctp-nat-normal o-sctp-nat-server-close",
    "C-188": "o-tcp-nat-normal",
    "C-189": "o-udpstate-nat o-udpstate-dr",
    "C-192": "o-ops-rr o-ops-wrr o-ops-sh o-ops-lc o-ops-ovf",
    "C-193": "o-ops-rr",
    "C-196": "o-sysctl-reuse1",
    "C-200": "o-rr-equal3 o-rr-equal16 o-order-rr",
    "C-201": "o-rr-w3_0_1_0 o-rr-thresholds",
    "C-202": "o-rr-w3_0_1_0",
    "C-203": "o-rr-churn",
    "C-204": "o-wrr-w1_2_4 o-wrr-w100_1",
    "C-205": "o-wrr-w6_4_2",
    "C-206": "o-wrr-equal3 o-wrr-equal16",
    "C-208": "o-wrr-w3_0_1_0",
    "C-209": "o-wrr-reweigh o-wrr-churn",
    "C-211": "o-wlc-w1_2_4 o-wlc-w6_4_2 o-wlc-mixed",
    "C-212": "o-wlc-equal3 o-order-wlc",
    "C-213": "o-wlc-w3_0_1_0",
    "C-214": "o-wlc-mixed o-udp-wlc-nat",
    "C-215": "o-nq-equal3 o-nq-w1_2_4",
    "C-216": "o-sed-w1_2_4 o-sed-w100_1",
    "C-217": "o-nq-w6_4_2 o-nq-mixed",
    "C-218": "o-lblc-equal3 o-lblc-w6_4_2",
    "C-219": "o-lblc-w1_2_4 o-lblc-w100_1",
    "C-220": "o-lblc-thresholds",
    "C-222": "o-lblcr-equal3",
    "C-223": "o-lblcr-w1_2_4 o-lblcr-w100_1",
    "C-225": "o-dh-w1_2_4 o-dh-w100_1",
    "C-226": "o-dh-w3_0_1_0 o-dh-thresholds",
    "C-227": "o-dh-equal16 o-dh-v6",
    "C-228": "o-sh-equal3 o-sh-plain",
    "C-229": "o-sh-w1_2_4 o-sh-w6_4_2 o-sh-w3_0_1_0",
    "C-230": "o-sh-thresholds o-sh-w3_0_1_0",
    "C-231": "o-sh-sh-port o-sh-sh-port-v6",
    "C-232": "o-sh-sh-fallback o-sh-sh-port+sh-fallback",
    "C-233": "o-mh-equal3 o-mh-equal16 o-mh-plain",
    "C-234": "o-mh-reweigh",
    "C-235": "o-mh-mh-port o-mh-mh-port-v6",
    "C-236": "o-mh-mh-fallback o-mh-mh-port+mh-fallback",
    "C-237": "o-mh-w6_4_2 o-mh-w100_1",
    "C-238": "o-mh-w3_0_1_0",
    "C-239": "o-fo-w6_4_2 o-fo-w100_1 o-fo-reweigh",
    "C-240": "o-ovf-w6_4_2 o-ovf-w1_2_4",
    "C-241": "o-twos-1_3 o-twos-1_1_1_1",
    "C-242": "o-lc-w100_1 o-lc-w6_4_2",
    "C-243": "o-rr-thresholds o-wrr-thresholds o-wlc-thresholds o-lc-thresholds o-sed-thresholds"
    " o-nq-thresholds o-dh-thresholds o-sh-thresholds o-mh-thresholds o-fo-thresholds",
    "C-250": "o-persist-rr",
    "C-251": "o-persist-port0-rr o-persist-port0-sh",
    "C-252": "o-persist-fwmark-rr o-persist-fwmark-wlc",
    "C-253": "o-persist-rr-m255_255_255_0 o-persist-wlc-m255_255_0_0 o-persist-rr-m112-v6",
    "C-254": "o-persist-life-q0",
    "C-255": "o-persist-life-q1",
    "C-256": "o-persist-life-q0",
    "C-262": "o-wire-ftp-passive o-wire-ftp-active o-wire-ftp-extended o-wire-ftp-odd",
    "C-264": "o-persist-sip-call-id",
    "C-265": "o-persist-sip-spelling",
    "C-266": "o-persist-sip-call-id",
    "C-270": "o-cli-basic",
    "C-276": "o-cli-statlag",
}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=f"{row} {names.split()[0]}", marks=pytest.mark.covers(row))
        for row, names in DECIDED.items()
    ],
)
def test_recordings_that_decide_a_row_are_there_and_the_same(names: str) -> None:
    for name in names.split():
        assert json.loads(PLAYED[name].read_text())["events"]
        play(PLAYED[name])


def test_every_row_names_recordings() -> None:
    assert set(chain.from_iterable(names.split() for names in DECIDED.values())) <= set(PLAYED)
