"""Whether an event played by the data path equals the recorded one.

Times may be off by three seconds, the order of connections is chance, and a packet that is
fragmented again counts as what its fragments put together say.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any

SLACK_S = 3
SIGMAS = 4
TABLE_SIZE = re.compile(r"\(size=\d+\)")
TIMER = re.compile(r"^(\S+\s+)(\d+):(\d\d)(\s.*)$")

Event = list[Any]


def stripped(event: Event) -> Event:
    """Returns the event without its result."""
    kind = event[0]
    if kind in ("wait", "sysctl"):
        return event
    if kind == "cmd":
        return ["cmd", event[1], None, None, None, event[5] if len(event) > 5 else None]
    if kind in ("cnt", "con"):
        return [kind, None]
    return [*event[:-1], None]


def difference(recorded: Event, played: Event) -> str:
    """Returns what differs, "" when nothing does."""
    kind = recorded[0]
    if kind in ("pkt", "rpl", "cnt"):
        same = recorded[-1] == played[-1]
    elif kind == "con":
        same = _same_connections(recorded[1], played[1])
    elif kind == "cmd":
        same = _same_command(recorded, played)
    elif kind == "wire":
        same = _same_packets(recorded[3], played[3])
    else:
        same = True
    return "" if same else f"{played}, recorded {recorded}"


def shares_differ(recorded: list[Event], played: list[Event]) -> str:
    """For random picks: each server's share within four standard deviations of the recorded."""
    ours, theirs = (_picks(events) for events in (played, recorded))
    n, m = ours.total(), theirs.total()
    for server in ours | theirs:
        p = (ours[server] + theirs[server]) / (n + m)
        spread = math.sqrt(p * (1 - p) * (1 / n + 1 / m))
        if abs(ours[server] / n - theirs[server] / m) > SIGMAS * spread + 1e-9:
            return f"{server}: {ours[server]} of {n}, recorded {theirs[server]} of {m}"
    return ""


def _picks(events: list[Event]) -> Counter[str]:
    return Counter(e[-1] for e in events if e[0] == "pkt")


def _same_connections(recorded: list[Any], played: list[Any]) -> bool:
    a, b = (sorted((r[:5] + r[6:], r[5]) for r in rows if r[5] > 0) for rows in (recorded, played))
    return [row for row, _ in a] == [row for row, _ in b] and all(
        abs(x - y) <= SLACK_S for (_, x), (_, y) in zip(a, b, strict=True)
    )


def _same_command(recorded: Event, played: Event) -> bool:
    if recorded[2] != played[2]:
        return False
    if len(recorded) > 6 and recorded[6] == "sample":
        return True
    pairs = ((recorded[i] if len(recorded) > i else "", played[i]) for i in (3, 4))
    return all(_same_text(a, b) for a, b in pairs)


def _same_text(recorded: str, played: str) -> bool:
    if not recorded.startswith("IPVS connection entries"):
        return TABLE_SIZE.sub("", recorded) == TABLE_SIZE.sub("", played)
    a, b = (_timed_rows(text) for text in (recorded, played))
    return [row for row, _ in a] == [row for row, _ in b] and all(
        abs(x - y) <= SLACK_S for (_, x), (_, y) in zip(a, b, strict=True)
    )


def _timed_rows(text: str) -> list[tuple[str, int]]:
    rows = []
    for line in text.split("\n"):
        if m := TIMER.match(line):
            rows.append((m[1] + m[4], int(m[2]) * 60 + int(m[3])))
        else:
            rows.append((line, 0))
    return sorted(rows)


def _same_packets(recorded: list[Any], played: list[Any]) -> bool:
    whole, joined = _put_together(recorded)
    whole_too, joined_too = _put_together(played)
    if joined != joined_too or [o[0] for o in whole] != [o[0] for o in whole_too]:
        return False
    return all(_same_bytes(a, b) for a, b in zip(whole, whole_too, strict=True))


def _same_bytes(recorded: list[Any], played: list[Any]) -> bool:
    a, b = bytearray.fromhex(recorded[1]), bytearray.fromhex(played[1])
    for start, end in recorded[2] if len(recorded) > 2 else []:
        a[start:end] = b[start:end] = bytes(end - start)
    return a == b


def _put_together(outs: list[Any]) -> tuple[list[Any], list[Any]]:
    """Returns the packets that are no fragments, and what the fragments add up to."""
    whole: list[Any] = []
    parts: dict[tuple[Any, ...], list[tuple[int, bool, bytes]]] = {}
    for out in outs:
        fragment = _fragment(bytes.fromhex(out[1]))
        if fragment is None:
            whole.append(out)
        else:
            key, offset, more, data = fragment
            parts.setdefault((out[0], *key), []).append((offset, more, data))
    joined = []
    for key, pieces in parts.items():
        pieces.sort()
        data = b"".join(d for _, _, d in pieces)
        gapless = all(
            sum(len(d) for _, _, d in pieces[:i]) == offset
            for i, (offset, _, _) in enumerate(pieces)
        )
        joined.append((key[:-1], gapless and not pieces[-1][1], data))
    return whole, sorted(joined)


def _fragment(b: bytes) -> tuple[tuple[Any, ...], int, bool, bytes] | None:
    """Returns (key that ends with the identification, offset, more, payload) of a fragment."""
    if b[0] >> 4 == 4:
        field = int.from_bytes(b[6:8], "big")
        if not field & 0x3FFF:
            return None
        head, total = (b[0] & 15) * 4, int.from_bytes(b[2:4], "big")
        key = (b[12:20], b[9], b[8], b[1], b[4:6])
        return key, (field & 0x1FFF) * 8, bool(field & 0x2000), b[head:total]
    if b[6] != 44:
        return None
    field = int.from_bytes(b[42:44], "big")
    return (b[8:40], b[40], b[7], b[44:48]), field & 0xFFF8, bool(field & 1), b[48:]
