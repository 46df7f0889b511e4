"""Which ring version, which way of sending, which way of waiting: measured side by side.

    python -m bench.rings [small|saturated|bulk|lone|drop ...] [--rounds N] [--seconds S]
                          [--only MODE]

Every mode of bench/ringlab.c in turn, all modes once a round; medians over the rounds.  The table
of docs/rings.md comes from here.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable

from bench.program import program
from bench.wire import Wire

LATE_S, PINGS = 2, 200  # by V3 rings one takes up to 10 ms
RECEIVE = {
    "V2, 68 KiB slots": "rx=big",
    "V2, small slots + copy queue": "rx=small",
    "V3, 1 ms timer": "rx=v3",
    "V3, open block read": "rx=peek",
}
SEND = {
    "sendmmsg, socket each": "tx=mmsg",
    "sendmmsg, one socket": "tx=one",
    "TX ring V2": "tx=ring2",
    "TX ring V3": "tx=ring3",
}
Figures = dict[str, float]


def modes(question: str) -> dict[str, str]:
    """Return the modes that a question is about: what they are called, ringlab's words."""
    small, v3, wait = "rx=small", "rx=v3", "wait=adapt:900"
    receive = {f"{name}; poll": words for name, words in RECEIVE.items() if words != "rx=peek"}
    if question in ("small", "saturated"):
        naps = {f"V2, small slots; sleep {t} us": f"{small} wait=nap:{t}" for t in (100, 300, 900)}
        adapted = {"V2, small slots; adaptive": f"{small} {wait}"}
        if question == "small":
            return receive | naps | adapted
        sends = {
            f"V2, small slots; {n}": f"{small} {w}" for n, w in SEND.items() if w != "tx=mmsg"
        }
        more = {"V2, small slots; bypass": f"{small} bypass", "V3; bypass": f"{v3} bypass"}
        return receive | sends | more
    if question == "bulk":
        sends = {
            f"V2, small slots; {n}": f"{small} {w}" for n, w in SEND.items() if w != "tx=mmsg"
        }
        return receive | sends | {"V2, small slots; adaptive": f"{small} {wait}"}
    if question == "lone":
        spins = {f"{name}; spin": f"{words} wait=spin" for name, words in RECEIVE.items()}
        return receive | spins | {"V2, small slots; adaptive": f"{small} {wait}"}
    return {"V2, small slots; adaptive": f"{small} {wait}", "V3, 1 ms timer; poll": v3}


def ringlab(wire: Wire, words: str, seconds: int, traffic: Callable[[], Figures]) -> Figures:
    """Run one mode under some traffic, which may begin late; return its figures."""
    life_s = seconds + LATE_S
    process = wire.middle([program("ringlab"), "eth0", "eth1", str(life_s), *words.split()])
    figures = traffic()
    process.wait(life_s + 10)
    out = {name: float(value) for name, value in re.findall(r"(\w+) ([\d.]+)", process.stdout())}
    return figures | {name: out[name] for name in ("us_per_frame", "drops", "polls", "naps")}


def traffic_of(wire: Wire, question: str, pps: float, seconds: int) -> Callable[[], Figures]:
    """Return what is to be sent while a mode runs."""

    def flood() -> Figures:
        load = wire.flood(pps, seconds - 1)
        return {"arrived_kpps": load.arrived / (seconds - 1) / 1e3}

    def lone() -> Figures:
        return wire.ping(PINGS)

    def bulk() -> Figures:
        return {"gbps": wire.bulk(seconds - 1)}

    return {"bulk": bulk, "lone": lone}.get(question, flood)


def compare(wire: Wire, question: str, args: argparse.Namespace, pps: float) -> None:
    """Print one table."""
    chosen = {n: w for n, w in modes(question).items() if args.only in n}
    if question == "drop":
        chosen = {f"{n}; {d}": w for n, w in chosen.items() for d in ("plain", "ingress drop")}
    rows: dict[str, list[Figures]] = {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name, words in chosen.items():
            wire.drop_tapped(name.endswith("ingress drop"))
            seconds = args.seconds + 1
            traffic = traffic_of(wire, question, pps, seconds)
            rows[name].append(ringlab(wire, words, seconds, traffic))
            wire.run("left", ["ip", "neigh", "flush", "all"])
    print(f"\n## {question}" + (f", {pps / 1e3:g} kpps offered" if pps else ""))
    keys = list(rows[next(iter(rows))][0])
    print("| mode | " + " | ".join(keys) + " |\n|---" * 1 + "|---" * len(keys) + "|")
    for name, found in rows.items():
        medians = (statistics.median(f.get(key, 0.0) for f in found) for key in keys)
        print(f"| {name} | " + " | ".join(f"{m:.2f}" for m in medians) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", default=["small", "saturated", "bulk", "lone"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--only", default="", help="only modes whose name contains this")
    args = parser.parse_args()
    with Wire() as wire:
        for question in args.questions:
            loads = {"small": (50e3, 150e3), "drop": (100e3,)}.get(question, (0.0,))
            for pps in loads:
                compare(wire, question, args, pps)


if __name__ == "__main__":
    main()
