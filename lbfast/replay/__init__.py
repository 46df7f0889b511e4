"""`lbfast replay`: a recorded scenario, with the results of this data path filled in."""

from __future__ import annotations

import json
import sys

from lbfast.errors import WireError
from lbfast.replay.scenario import run
from lbfast.words import refuse

USAGE = """\
usage: lbfast replay < SCENARIO.json

Reads a scenario (rules, packets and times, as tests/conformance has them), gives it to the data
path without a network, and prints it with the results filled in.
"""


def main(argv: list[str]) -> int:
    """Reads a scenario on standard input and prints it with its results."""
    if argv and argv[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if argv:
        return refuse("lbfast replay", f"{argv[0]!r} unknown, expected a scenario as input alone")
    try:
        scenario = json.load(sys.stdin)
    except ValueError as e:
        raise WireError(f"standard input: not JSON: {e}") from None
    if not isinstance(scenario, dict) or not isinstance(scenario.get("events"), list):
        raise WireError("standard input: no scenario, expected an object with a list of events")
    json.dump(run(scenario), sys.stdout)
    print()
    return 0
