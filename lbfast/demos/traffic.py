"""The traffic of the demo, and the judgement of what came back."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lbfast.demos.scene import Plot, Scene
from netns import basic
from netns.wait import wait_for
from netns.web import Answer, parse_answer

CHUNK = 1 << 20
STATS_LAG_S = 10  # what a listing shows is up to two seconds old, as in the kernel


@dataclass(frozen=True, slots=True)
class Spread:
    """How requests were spread, beside what the scheduler promises."""

    scheduler: str
    counts: Mapping[str, int]
    promised: Mapping[str, int]
    wrong: tuple[str, ...]  # a sentence for each answer that was not right

    @property
    def is_right(self) -> bool:
        return not self.wrong and dict(self.counts) == dict(self.promised)


@dataclass(frozen=True, slots=True)
class Download:
    """One large file, fetched through the director."""

    size_bytes: int
    seconds: float
    is_same: bool

    @property
    def megabits_per_s(self) -> float:
        return self.size_bytes * 8 / self.seconds / 1e6


def promised(weights: Mapping[str, int], requests: int) -> dict[str, int]:
    """Return what rr and wrr promise; `requests` is a multiple of the sum of the weights."""
    return {name: weight * requests // sum(weights.values()) for name, weight in weights.items()}


def judge_answer(plot: Plot, client: str, answer: Answer) -> str:
    """Return what is wrong with an answer, "" if it is right.

    The client's address reaches the server with every method; DR and TUN keep the VIP as well.
    """
    address = basic.rip(plot.method, answer.host, plot.family)
    server = address if plot.method == "nat" else plot.vip
    if answer.client != plot.client(client):
        return f"{answer.host} saw {answer.client}, expected {plot.client(client)}"
    if answer.server != server:
        return f"{answer.host} was asked as {answer.server}, expected {server}"
    return ""


def judge(
    plot: Plot, scheduler: str, weights: Mapping[str, int], pages: list[tuple[str, str]]
) -> Spread:
    """Judge pages, each with the client that fetched it."""
    counts = Counter({name: 0 for name in weights})
    wrong = []
    for client, page in pages:
        try:
            answer = parse_answer(page)
            sentence = judge_answer(plot, client, answer)
        except (ValueError, KeyError):
            wrong.append(f"{client} was answered {page[:60]!r}")
            continue
        counts[answer.host] += 1
        if sentence:
            wrong.append(sentence)
    return Spread(scheduler, counts, promised(weights, len(pages)), tuple(wrong))


def ask(scene: Scene, scheduler: str, weights: Mapping[str, int], requests: int) -> Spread:
    """Send requests with curl, each a connection of its own, the clients taking turns."""
    pages = []
    share = requests // len(basic.CLIENTS)
    for client in basic.CLIENTS:
        urls = [f"http://{scene.plot.service}/"] * share
        done = scene.net.run(
            client,
            ["curl", "-sS", "--max-time", "10", "-H", "Connection: close", *urls],
            check=False,
            timeout_s=120,
        )
        lines = done.stdout.splitlines()
        lines += [done.stderr.strip() or "nothing"] * (share - len(lines))
        pages += [(client, line) for line in lines]
    return judge(scene.plot, scheduler, weights, pages)


def make_file(path: Path, size_bytes: int) -> str:
    """Fill a file with random bytes; return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, CHUNK):
            block = os.urandom(min(CHUNK, size_bytes - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(scene: Scene, name: str, digest: str) -> Download:
    """Fetch /files/`name` and compare its digest; RuntimeError with curl's words."""
    target = scene.net.scratch / "download"
    url = f"http://{scene.plot.service}/files/{name}"
    words = [
        "-sSf",
        "--max-time",
        "120",
        "-o",
        str(target),
        "-w",
        "%{size_download} %{time_total}",
    ]
    size, seconds = scene.net.run("client1", ["curl", *words, url], timeout_s=150).stdout.split()
    same = file_digest(target) == digest
    target.unlink()
    return Download(int(size), float(seconds), same)


class Listed(Protocol):
    """What of a scene its statistics are read from."""

    plot: Plot

    def ipvsadm(self, *words: str) -> str: ...


def settled_stats(scene: Listed, connections: int, fetched: Download) -> str:
    """Return `-Ln --stats` once it shows all that was done; TimeoutError if it never does.

    Answers pass the director with NAT alone.
    """
    out_bytes = fetched.size_bytes if scene.plot.method == "nat" else 0

    def settled() -> bool:
        exact = scene.ipvsadm("-Ln", "--stats", "--exact")
        row = re.search(r"^TCP +\S+ +(\d+) +\d+ +\d+ +\d+ +(\d+)$", exact, re.MULTILINE)
        return row is not None and int(row[1]) >= connections and int(row[2]) >= out_bytes

    what = f"{connections} connections and {out_bytes} bytes in ipvsadm -Ln --stats"
    wait_for(settled, STATS_LAG_S, what)
    return scene.ipvsadm("-Ln", "--stats")
