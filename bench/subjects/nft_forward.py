"""nftables as a balancer by direct routing: netdev ingress, MAC addresses rewritten, `fwd`.

A connection stays with its server by a hash of the client's address and port, as the nftables
wiki shows it for direct server return; nothing is remembered, and nothing tracked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.subjects.base import Place, Pool, Subject
from bench.subjects.vips import accept_vips


def rules(
    pools: Sequence[Pool], ports: Sequence[int], own: str, server: str, protocol: str = "tcp"
) -> str:
    """Return the table as nft reads it.

    `own`, `server`: the MAC addresses of the director's out0 and of the host that is both real
    servers.
    """
    among = ", ".join(map(str, ports))
    lines = []
    for pool in pools:
        family = "ip6" if pool.is_v6 else "ip"
        servers = ", ".join(f"{n} : {server}" for n, _ in enumerate(pool.servers))
        key = f"jhash {family} saddr . {protocol} sport mod {len(pool.servers)}"
        match = f"{family} daddr {pool.vip} {protocol} dport {{ {among} }}"
        lines.append(
            f"{match} ether saddr set {own} ether daddr set {key} map {{ {servers} }} fwd to out0"
        )
    text = "\n        ".join(lines)
    return f"""table netdev balance {{
    chain ingress {{
        type filter hook ingress device in0 priority filter; policy accept;
        {text}
    }}
}}
"""


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    own = place.mac(place.host, "out0")
    server = place.mac("server", place.server_interface)
    accept_vips(place)
    place.run("nft", "-f", "-", stdin=rules(place.pools, place.ports, own, server, place.protocol))
    yield


SUBJECTS = (Subject("nft-forward", "nftables forward", "dr", _set_up, ("nft",)),)
