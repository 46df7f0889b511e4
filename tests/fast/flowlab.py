"""What the tests of the short way share: to say which way a packet has to go."""

from __future__ import annotations

from scapy.packet import Packet

from tests.fast.path import PLAIN, Lab, Out, Vnet


def forget(world: Lab) -> None:
    """Make an edit that changes nothing: what is known of connections is found out anew."""
    world.engine.set_setting("sloppy_tcp", 0)


def short(
    world: Lab, packet: Packet | bytes, side: str = "client", vnet: Vnet = PLAIN
) -> list[Out]:
    """Send a packet that has to go the short way."""
    before = world.engine.plain()
    outs = world.send(packet, side, vnet)
    assert world.engine.plain() == before + 1, world.engine.reasons()
    return outs


def stages(
    world: Lab, packet: Packet | bytes, side: str = "client", vnet: Vnet = PLAIN
) -> list[Out]:
    """Send a packet that has to take the stages."""
    before = world.engine.plain()
    outs = world.send(packet, side, vnet)
    assert world.engine.plain() == before
    return outs
