"""One VRRP speaker as a process of its own: `python -m tests.vrrp_speaker CONFIG`.

CONFIG is a pickled VrrpConfig.  SIGTERM stops it; SIGHUP reads CONFIG again.  It prints `ready`
and then `state INSTANCE STATE`.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import sys
from pathlib import Path

import uvloop

from lbfast.model.vrrp import VrrpConfig, VrrpInstance
from lbfast.vrrp.actions import State
from lbfast.vrrp.service import VrrpService
from lbfast.vrrp.urgency import be_prompt


def told(instance: VrrpInstance, state: State) -> None:
    print(f"state {instance.name} {state}", flush=True)


def read(path: Path) -> VrrpConfig:
    config: VrrpConfig = pickle.loads(path.read_bytes())
    return config


async def run(path: Path) -> None:
    config = read(path)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    service = VrrpService(told)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        nonlocal config
        old, config = config, read(path)
        reloads.add(loop.create_task(service.reload(old, config)))

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await service.start(config)
    be_prompt()
    print("ready", flush=True)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    uvloop.run(run(Path(sys.argv[1])))
