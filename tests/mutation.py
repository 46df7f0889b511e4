"""Broken configurations: one random edit of a whole one, the same for the same seed."""

from __future__ import annotations

import random
import re
from pathlib import Path

WHOLE = Path(__file__).parent / "conformance/keepalived/whole.conf"
_POOL = (
    "x", "0", "1", "-1", "5x", "300", "70000", "0.5", "on", "off", "10.0.0.9", "10.0.0.9/24",
    "10.0.0.300", "fe80::1", "eth0", "eth9", "{", "}", "'", "#", "!", "\\", "@main", "@^main",
    "$A", "${A}", "${Z}", '"a b"', "MASTER", "BACKUP", "NAT", "DR", "TCP", "udp", "weight",
    "dev", "via", "table",
)  # fmt: skip
_LINES = ("}", "{", "foo", "foo {", "bar 1 2")


def mutated(seed: int) -> str:
    """Returns the whole configuration with one line changed, moved, lost or added."""
    chance = random.Random(seed)
    lines = WHOLE.read_text().split("\n")
    code = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("!")]
    at = chance.choice(code)
    words = lines[at].split()
    which = chance.randrange(10)
    if which == 0:
        del lines[at]
    elif which == 1:
        lines.insert(at, lines[at])
    elif which == 2:
        lines.insert(at, chance.choice(_LINES))
    elif which == 3:
        lines[at] = lines[at].replace("{", "").replace("}", "")
    elif which == 4:
        words[chance.randrange(len(words))] = chance.choice(_POOL)
        lines[at] = " ".join(words)
    elif which == 5:
        del words[chance.randrange(len(words))]
        lines[at] = " ".join(words)
    elif which == 6:
        words.insert(chance.randrange(len(words) + 1), chance.choice(_POOL))
        lines[at] = " ".join(words)
    elif which == 7:
        lines[at] = " ".join([words[0].swapcase(), *words[1:]])
    elif which == 8:
        lines[at] = re.sub(r"\d+", lambda m: str(int(m[0]) * 10), lines[at], count=1)
    else:
        del lines[at:]
    return "\n".join(lines) + "\n"
