"""A lab's director on an arena of its own choosing, as a restart has it."""

from __future__ import annotations

from lbfast.control.tables import Engine, Tables
from lbfast.replay import network
from tests.fast.path import Lab


def put(world: Lab, engine: Engine) -> Lab:
    """Let a lab's director be this engine."""
    world.engine = world.director.engine = engine
    world.tables = world.director.tables = Tables(engine)
    network.build(engine, network.MTU)
    return world
