"""One VRRP speaker as a process of its own: `python -m tests.vrrp_speaker CONFIG [INSTANCE...]`.

CONFIG is a pickled VrrpConfig; the instances named led in a process that died just now.  SIGTERM
stops it; SIGHUP reads CONFIG again; SIGUSR1 writes CONFIG.text, .stats and .json.  It prints
`ready` and then `state INSTANCE STATE`.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import sys
import time
from pathlib import Path

import uvloop

from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.vrrp.actions import State
from lbfast.vrrp.dump import as_json, statistics, text
from lbfast.vrrp.service import VrrpService
from lbfast.vrrp.urgency import be_prompt


def told(instance: VrrpInstance, state: State) -> None:
    print(f"state {instance.name} {state}", flush=True)


def read(path: Path) -> VrrpConfig:
    config: VrrpConfig = pickle.loads(path.read_bytes())
    return config


async def run(path: Path, masters: list[str]) -> None:
    config = read(path)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    service = VrrpService(told)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        nonlocal config
        old, config = config, read(path)
        reloads.add(loop.create_task(service.reload(old, config)))

    def write() -> None:
        for name, make in (("stats", statistics), ("json", as_json), ("text", text)):
            path.with_suffix(f".{name}").write_text(make(service))

    loop.add_signal_handler(signal.SIGUSR1, write)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await service.start(config, dict.fromkeys(masters, time.monotonic()))
    be_prompt()
    print("ready", flush=True)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    uvloop.run(run(Path(sys.argv[1]), sys.argv[2:]))
