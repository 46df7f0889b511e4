"""For those who try out schedulers: what one is given, where the headers are, a trial on frames.

docs/schedulers.md begins with an example.
"""

from lbfast.control.scheduler_files import from_file, from_packages
from lbfast.control.scheduling import Found
from lbfast.lab.headers import get_include
from lbfast.lab.trial import Trial
from lbfast.model.scheduling import Flow, Scheduler, Server

__all__ = [
    "Flow",
    "Found",
    "Scheduler",
    "Server",
    "Trial",
    "from_file",
    "from_packages",
    "get_include",
]
