"""The virtual services of a place in ipvsadm's words, for everything that understands them."""

from __future__ import annotations

from collections.abc import Iterator

from bench.subjects.base import Place, endpoint

OPTION = {"nat": "-m", "dr": "-g", "tun": "-i", "fullnat": "--fullnat"}


def words(place: Place) -> Iterator[str]:
    """Yield a line for each call of ipvsadm: every service by round robin, every real server."""
    option = OPTION[place.subject.method]
    for pool in place.pools:
        for port in place.ports:
            service = f"-{place.protocol[0]} {endpoint(pool.vip, port)}"
            yield f"-A {service} -s rr"
            for address in pool.locals if place.subject.method == "fullnat" else ():
                yield f"--add-laddr {service} -z {address}"
            for address in pool.servers:
                yield f"-a {service} -r {endpoint(address, port)} {option}"
