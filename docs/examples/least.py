"""least: the server with the fewest established connections for its weight."""

from lbfast.lab import Scheduler


class Least(Scheduler):
    name = "least"

    def pick(self, flow, servers):
        able = [s for s in servers if s.usable]
        return min(able, key=lambda s: s.active / s.weight, default=None)
