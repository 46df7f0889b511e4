"""Checks that cannot even begin, beside keepalived: what becomes of the real server."""

from __future__ import annotations

import pytest

from tests.e2e.checkpeer import Peers, missing, topology
from tests.e2e.conftest import Networks

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

KINDS = {
    "TCP_CHECK": "",
    "DNS_CHECK": "",
    "SMTP_CHECK": "",
    "HTTP_GET": "url { path / }",
    "SSL_GET": "url { path / }",
    "UDP_CHECK": "",
    "PING_CHECK": "",
}
NOWHERE, ABSENT = "10.66.0.1", "10.7.0.77"  # a server without a route, an address to bind to

SERVICE = """
virtual_server 10.7.0.1{number:02} 80 {{
    delay_loop 1
    warmup 0
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server {server} 80 {{
        {kind} {{
            connect_timeout 1
            retry 0
            {more}
        }}
    }}
}}
"""


@pytest.mark.covers("CHK-37")
def test_server_that_is_not_reached_is_judged_as_keepalived_judges_it(network: Networks) -> None:
    text = "global_defs {\n    script_user root\n}\n"
    expected = {}
    cases = [(NOWHERE, ""), ("10.7.0.11", f"bindto {ABSENT}")]
    for place, (server, source) in enumerate(cases):
        for number, (kind, more) in enumerate(KINDS.items(), 10 * place + 1):
            if source and kind == "PING_CHECK":
                continue  # keepalived's has no source
            words = f"{source}\n            {more}"
            text += SERVICE.format(number=number, server=server, kind=kind, more=words)
            is_down = server == NOWHERE or kind == "UDP_CHECK"
            held = {} if is_down else {f"{server}:80": 1}
            expected[f"10.7.0.1{number:02}:80"] = held
    peers = Peers(network(topology()), text)
    for service, table in expected.items():
        line = f"DEL_DEST {service} {NOWHERE if service < '10.7.0.110' else '10.7.0.11'}:80"
        if not table:
            peers.wait_for_both(
                lambda side, line=line: line in peers.commands(side),  # type: ignore[misc]
                line,
            )
    for service, table in expected.items():
        peers.wait_for_table(service, table)
    peers.end()
