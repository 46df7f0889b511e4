"""HAProxy in TCP mode: its manual's defaults (a thread for each core, connections as many as the
limit on open files allows), round robin, and `option splice-auto`, by which the kernel moves the
data where HAProxy expects that to help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.subjects.base import Place, Pool, Subject, endpoint
from netns.web import wait_for_listener

HEAD = """defaults
    mode tcp
    balance roundrobin
    option splice-auto
    timeout connect 5s
    timeout client 50s
    timeout server 50s
"""


def configuration(pools: Sequence[Pool], ports: Sequence[int]) -> str:
    """Return haproxy.cfg."""
    parts = [HEAD]
    for pool in pools:
        for port in ports:
            lines = [f"listen v{6 if pool.is_v6 else 4}-{port}"]
            lines.append(f"    bind {endpoint(pool.vip, port)}")
            for n, address in enumerate(pool.servers, 1):
                lines.append(f"    server rs{n} {endpoint(address, port)}")
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    path = place.write("haproxy.cfg", configuration(place.pools, place.ports))
    process = place.start("haproxy", "-db", "-f", str(path))
    for port in place.ports:
        wait_for_listener(place.net, place.host, port, process)
    yield
    process.stop()


SUBJECTS = (Subject("haproxy", "HAProxy", "proxy", _set_up, ("haproxy",)),)
