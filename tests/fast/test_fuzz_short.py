"""A tenth of a million random and mutated frames; `make fuzz` runs ten million under ASan."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP

from tools.fuzz import fuzz
from tools.fuzz_frames import framed
from tools.fuzz_world import World, services

FRAMES = 100_000
SEED = 20


def test_frames_of_any_bytes_are_counted_and_the_director_goes_on() -> None:
    world = fuzz(FRAMES, SEED)
    verdicts = world.engine.verdicts()
    assert min(verdicts[name] for name in ("drop", "sent", "host", "ignore", "held")) > 0
    assert world.engine.reasons().keys() >= {"truncated", "bad-header", "ttl", "no-ports"}
    assert forwards(world)


def forwards(world: World) -> bool:
    """Say whether a service that is added now gets its first packet through."""
    service = services()[0]._replace(vip="10.9.0.99", port=81)
    service = service._replace(key=(*service.key[:2], bytes((10, 9, 0, 99)), 81, 0))
    world.add(service, b"rr")
    world.engine.neigh_set(3, bytes((10, 2, 0, 1)), bytes((2, 0, 0, 2, 0, 1)))
    world.engine.set_setting("drop_packet", 0)
    sent = []
    for port in range(3):  # one of the three servers has no neighbour entry
        syn = IP(src="10.1.0.9", dst="10.9.0.99") / TCP(sport=5000 + port, dport=81, flags="S")
        sent += world.engine.process([framed("client", syn)], world.now_ns)
    return any(IP(frame[14:]).dst == "10.2.0.1" for _, _, _, frame in sent)
