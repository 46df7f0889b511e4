"""Makes the process that runs VRRP prompt: others on the machine must not delay its timers."""

from __future__ import annotations

import contextlib
import gc
import os

_LOWEST = 1  # ahead of every ordinary process, behind every other real-time one


def be_prompt() -> bool:
    """Take the lowest real-time priority and spare the garbage collector what is there by now.

    To be called once, after `VrrpService.start`, in a process that does nothing else.  Programs
    that it starts are ordinary ones again.  Returns False where the system does not allow the
    priority (CAP_SYS_NICE); VRRP then runs as everything else does.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError):
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(_LOWEST))
        return True
    return False
