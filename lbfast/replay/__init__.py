"""`lbfast replay`: a recorded scenario, with the results of this data path filled in."""

from __future__ import annotations

import json
import sys

from lbfast.errors import WireError
from lbfast.replay.scenario import run

USAGE = "usage: lbfast replay < SCENARIO.json"


def main(argv: list[str]) -> int:
    """Reads a scenario on standard input and prints it with its results."""
    if argv:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        scenario = json.load(sys.stdin)
    except ValueError as e:
        raise WireError(f"standard input: not JSON: {e}") from None
    if not isinstance(scenario, dict) or not isinstance(scenario.get("events"), list):
        raise WireError("standard input: no scenario, expected an object with a list of events")
    json.dump(run(scenario), sys.stdout)
    print()
    return 0
