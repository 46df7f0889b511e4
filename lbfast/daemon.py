"""`lbfast run`: the forwarder in the foreground, or with -f a director by keepalived.conf."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

import uvloop

from lbfast.control.forwarder import Forwarder, Plan
from lbfast.control.rundir import check_name, claim, director_name
from lbfast.control.settings import TOA
from lbfast.control.tables import RX_USECS
from lbfast.errors import ControlError, LbfastError
from lbfast.processes.start import Request, start
from lbfast.words import Parser

logger = logging.getLogger("lbfast")

MAX_WORKERS = 16
MAX_CONNECTIONS = 1 << 28
# a start after a kill reads every record of these, and a listing every service: kept to seconds
MAX_SERVERS = MAX_SERVICES = 1 << 20


def _number(low: int, high: int) -> Callable[[str], int]:
    """Returns what reads a number from `low`, which is 0 or more, to `high`."""

    def read(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low} to {high}")
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lbfast run",
        description="Forward traffic for the virtual services of this network namespace.",
    )
    parser.add_argument(
        "-i", "--interface", action="append", metavar="IFACE", default=[],
        help="take frames from this interface; may be repeated (default: every Ethernet "
        "interface)",
    )  # fmt: skip
    _add_sizes(parser)
    parser.add_argument(
        "--rx-usecs", type=_number(0, RX_USECS), default=RX_USECS, metavar="US",
        help="while many frames come, take them from the rings at most so many microseconds "
        "late; 0: each at once (default and most: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--toa", choices=TOA, default=None,
        help="how FULLNAT tells real servers the client's address by a TCP option: not at all, "
        "with the first ACKs, or with the SYN too (default: as it was set, ack at first)",
    )  # fmt: skip
    _add_scheduler_file(parser)
    parser.add_argument("-D", "--log-detail", action="store_true", help="log more")
    parser.add_argument(
        "-f", "--use-file", metavar="FILE", default="",
        help="do what a keepalived.conf says: VRRP, virtual servers, health checks",
    )  # fmt: skip
    parser.add_argument(
        "--config-id", metavar="ID", default="",
        help="what @ID lines of the file are compared with (default: the host's name)",
    )  # fmt: skip
    return parser


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=_number(1, MAX_WORKERS), default=1, metavar="N",
        help=f"worker threads, at most {MAX_WORKERS} (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--connections", type=_number(1, MAX_CONNECTIONS), default=1 << 20, metavar="N",
        help="size of the connection table (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--servers", type=_number(1, MAX_SERVERS), default=1 << 15, metavar="N",
        help=f"size of the table of real servers, at most {MAX_SERVERS} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--services", type=_number(1, MAX_SERVICES), default=1 << 14, metavar="N",
        help=f"size of the table of virtual services, at most {MAX_SERVICES} "
        "(default: %(default)s)",
    )  # fmt: skip


def _add_scheduler_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scheduler-file", action="append", metavar="FILE", default=[],
        help="load the schedulers in this file of Python, or of compiled Python; may be repeated",
    )  # fmt: skip


async def _serve(plan: Plan) -> None:
    """Runs the forwarder until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    forwarder = Forwarder(plan)
    await forwarder.start()
    try:
        print(f"lbfast: ready: {forwarder.describe()}", file=sys.stderr, flush=True)
        done = asyncio.ensure_future(stop.wait())
        await asyncio.wait((done, forwarder.failed), return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        if forwarder.failed.done():
            raise forwarder.failed.result()
    finally:
        await forwarder.stop()


def main(argv: list[str]) -> int:
    """Claims the name, runs, gives everything back; returns the exit status."""
    args = _parser().parse_args(argv)
    sizes = {
        name: getattr(args, name)
        for name in ("workers", "connections", "servers", "services", "rx_usecs", "toa")
    }
    sizes["interfaces"] = tuple(args.interface)
    sizes["scheduler_files"] = tuple(map(os.path.abspath, args.scheduler_file))
    if args.use_file:
        return start(
            Request(args.use_file, args.config_id, forwarder=sizes, detail=args.log_detail)
        )
    logging.basicConfig(
        level=logging.DEBUG if args.log_detail else logging.INFO,
        format="lbfast: %(message)s",
        stream=sys.stderr,
    )
    if os.geteuid() != 0:
        raise ControlError(
            "running needs root: packet sockets (CAP_NET_RAW) and rules (CAP_NET_ADMIN)"
        )
    name = check_name(director_name(os.environ))
    held = claim(name)
    try:
        plan = Plan(name=name, control=held.control, **sizes)
        uvloop.run(_serve(plan))
    except LbfastError as e:
        print(f"lbfast: {e}", file=sys.stderr)
        return 1
    finally:
        held.release()
    return 0
