"""Doing what a checked command line asks, on a balancer."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from lbfast.cli import format as fmt
from lbfast.cli.addresses import Names
from lbfast.cli.draft import Draft, LineFailed, Stop
from lbfast.cli.kernelerrors import kernel_error_text
from lbfast.cli.order import compare_services, merge_sort
from lbfast.cli.rules import service_rules
from lbfast.control.api import Balancer
from lbfast.errors import KernelError, LbfastError
from lbfast.model import ServiceKey, ServiceState

LISTING_FAILED = 1
_READS = frozenset({"list", "save", "list-laddr"})


@dataclass(frozen=True, slots=True)
class Context:
    """What a run of ipvsadm works with."""

    balancer: Balancer
    names: Names
    output: TextIO


def run(draft: Draft, context: Context) -> None:
    """Does it; raises Stop or LineFailed with what the balancer refused."""
    try:
        _COMMANDS[draft.command](draft, context)
    except KernelError as refused:
        sentence = kernel_error_text(draft.command, refused.errno or errno.EINVAL)
        raise _failure(draft.command, sentence) from refused
    except LbfastError as failed:
        raise _failure(draft.command, str(failed)) from failed


def _failure(command: str, sentence: str) -> Stop | LineFailed:
    """Returns how a command fails: only those that read end the whole run."""
    if command in _READS:
        return Stop(LISTING_FAILED, sentence + "\n")
    return LineFailed(sentence)


def _add_service(draft: Draft, context: Context) -> None:
    context.balancer.add_service(draft.service.service())


def _edit_service(draft: Draft, context: Context) -> None:
    context.balancer.edit_service(draft.service.service())


def _delete_service(draft: Draft, context: Context) -> None:
    context.balancer.delete_service(draft.service.key())


def _flush(draft: Draft, context: Context) -> None:
    context.balancer.flush()


def _add_server(draft: Draft, context: Context) -> None:
    context.balancer.add_server(draft.service.key(), draft.server.server())


def _edit_server(draft: Draft, context: Context) -> None:
    context.balancer.edit_server(draft.service.key(), draft.server.server())


def _delete_server(draft: Draft, context: Context) -> None:
    context.balancer.delete_server(draft.service.key(), draft.server.key())


def _zero(draft: Draft, context: Context) -> None:
    context.balancer.zero(_selected(draft))


def _set(draft: Draft, context: Context) -> None:
    context.balancer.set_timeouts(draft.timeouts)


def _start_daemon(draft: Draft, context: Context) -> None:
    context.balancer.start_daemon(draft.daemon.daemon())


def _stop_daemon(draft: Draft, context: Context) -> None:
    context.balancer.stop_daemon(draft.daemon.role)


def _add_laddr(draft: Draft, context: Context) -> None:
    context.balancer.add_laddr(draft.service.key(), draft.laddr)


def _del_laddr(draft: Draft, context: Context) -> None:
    context.balancer.del_laddr(draft.service.key(), draft.laddr)


def _selected(draft: Draft) -> ServiceKey | None:
    return draft.service.key() if "service-address" in draft.given else None


def _style(draft: Draft, context: Context) -> fmt.Style:
    asked = (columns for columns in fmt.Columns if columns.value in draft.given)
    return fmt.Style(
        columns=next(asked, fmt.Columns.NORMAL),
        names=None if "numeric" in draft.given else context.names,
        is_exact="exact" in draft.given,
        is_sorted="nosort" not in draft.given,
    )


def _list(draft: Draft, context: Context) -> None:
    style = _style(draft, context)
    if "connection" in draft.given:
        _list_connections(context, style)
    elif "service-address" in draft.given:
        state = context.balancer.service(draft.service.key())
        context.output.write(fmt.title(style))
        context.output.writelines(fmt.service_block(state, style))
    elif "timeout" in draft.given:
        context.output.write(fmt.timeout_line(context.balancer.timeouts()))
    elif "daemon" in draft.given:
        context.output.writelines(map(fmt.daemon_line, context.balancer.daemons()))
    else:
        list_services(context, style)


def list_services(context: Context, style: fmt.Style) -> None:
    """Lists every service."""
    services = _services(context.balancer, style)
    context.output.write(fmt.version_line(context.balancer.table_size()) + fmt.title(style))
    for state in services:
        context.output.writelines(fmt.service_block(state, style))


def _services(balancer: Balancer, style: fmt.Style) -> list[ServiceState]:
    services = balancer.services()
    return merge_sort(services, compare_services) if style.is_sorted else services


def _list_connections(context: Context, style: fmt.Style) -> None:
    with _lowest_priority():
        rows = _connection_rows(context.balancer, style)
        first = next(rows, "")  # a refusal comes before the title
        context.output.write(fmt.connection_title(style) + first)
        context.output.writelines(rows)


def _connection_rows(balancer: Balancer, style: fmt.Style) -> Iterator[str]:
    """Yields the rows of the connection table, one or many at a time."""
    blocks = None
    if style.names is None:
        blocks = balancer.listing(with_engines=style.columns is fmt.Columns.PERSISTENT_CONN)
    if blocks is None:
        return (fmt.connection_row(connection, style) for connection in balancer.connections())
    return (block.decode("utf-8", "surrogateescape") for block in blocks)


@contextlib.contextmanager
def _lowest_priority() -> Iterator[None]:
    """Lets everybody else's work, a director's above all, go before this thread's."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # only root may take it back
            os.setpriority(os.PRIO_PROCESS, 0, before)


def _save(draft: Draft, context: Context) -> None:
    style = _style(draft, context)
    for state in _services(context.balancer, style):
        context.output.writelines(service_rules(state, style))


def _list_laddr(draft: Draft, context: Context) -> None:
    style = _style(draft, context)
    key = _selected(draft)
    balancer = context.balancer
    states = _services(balancer, style) if key is None else [balancer.service(key)]
    context.output.write(fmt.LADDR_TITLE)
    for state in states:
        if state.laddrs or key is not None:
            context.output.writelines(fmt.laddr_block(state, style))


_COMMANDS: Mapping[str, Callable[[Draft, Context], None]] = {
    "add-service": _add_service,
    "edit-service": _edit_service,
    "delete-service": _delete_service,
    "clear": _flush,
    "add-server": _add_server,
    "edit-server": _edit_server,
    "delete-server": _delete_server,
    "zero": _zero,
    "set": _set,
    "start-daemon": _start_daemon,
    "stop-daemon": _stop_daemon,
    "list": _list,
    "save": _save,
    "add-laddr": _add_laddr,
    "del-laddr": _del_laddr,
    "list-laddr": _list_laddr,
}
