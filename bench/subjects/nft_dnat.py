"""nftables as a balancer by NAT: a DNAT map with a number generator, as nft(8) shows it.

Connection tracking translates what follows the first packet.  No flowtable: nft(8) offers it for
forwarding, not with this example, and kernels without CONFIG_NF_FLOW_TABLE refuse the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.subjects.base import Place, Pool, Subject


def rules(pools: Sequence[Pool], ports: Sequence[int], protocol: str = "tcp") -> str:
    """Return the table as nft reads it."""
    among = ", ".join(map(str, ports))
    lines = []
    for pool in pools:
        family = "ip6" if pool.is_v6 else "ip"
        servers = ", ".join(f"{n} : {address}" for n, address in enumerate(pool.servers))
        chosen = f"numgen inc mod {len(pool.servers)} map {{ {servers} }}"
        match = f"{family} daddr {pool.vip} {protocol} dport {{ {among} }}"
        lines.append(f"{match} dnat {family} to {chosen}")
    text = "\n        ".join(lines)
    return f"""table inet balance {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        {text}
    }}
}}
"""


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    place.run("nft", "-f", "-", stdin=rules(place.pools, place.ports, place.protocol))
    yield


SUBJECTS = (Subject("nft-dnat", "nftables DNAT", "nat", _set_up, ("nft",)),)
