"""The top level of a configuration (spec 2.1, 2.8)."""

from __future__ import annotations

from lbfast.config.addresses import address_line
from lbfast.config.blocks import (
    Append,
    Block,
    Call,
    Draft,
    Flag,
    Ignored,
    Lines,
    Loader,
    Table,
    Value,
    named,
)
from lbfast.config.foreign import own
from lbfast.config.keywords.checkers import SSL, ssl_head
from lbfast.config.keywords.globals import GLOBAL_DEFS, MAX_TIMER_US
from lbfast.config.keywords.trackers import BFD, TRACK_FILE, TRACK_PROCESS, VRRP_SCRIPT
from lbfast.config.keywords.virtual import (
    VIRTUAL_SERVER,
    addresses_of,
    group_head,
    group_line,
    virtual_server_head,
)
from lbfast.config.keywords.vrrp import SYNC_GROUP, VRRP_INSTANCE
from lbfast.config.markwords import UsageError, parse_rule
from lbfast.config.routes import route_line, rule_line
from lbfast.config.values import (
    MICRO,
    Bad,
    Statement,
    integer,
    micros,
    string,
    timer_us,
)
from lbfast.model.marks import FwmarkRule
from lbfast.model.vrrp import UpDownDelay

_LINKBEAT = "link states come by netlink"


def _name_needed(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads the name of a block; keepalived ends without one."""
    draft.put("name", given.word(), given.place)


def _global_defs(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads global_defs into one draft, however often it comes."""
    inner = draft.get("global_defs") or Draft(given.place)
    loader.open_block(given)
    loader.load(GLOBAL_DEFS, inner)
    draft.put("global_defs", inner, given.place)


def _group(loader: Loader, draft: Draft, given: Statement) -> None:
    inner = Draft(given.place)
    group_head(loader, inner, given)
    if not loader.has_block():
        loader.source.differ(given.place, f"it ends at a {given.keyword} without '{{'")
        if loader.source.as_keepalived:
            raise loader.findings.fatal(given.place, "no '{'", "expected it; reading ends here")

    def take(line: Statement) -> None:
        for entry in group_line(line):
            inner.add("entries", entry, line.place)

    loader.lines(given, take)
    draft.add("virtual_server_group", inner, given.place)


def _up_down(line: Statement) -> UpDownDelay:
    if len(line.words) < 2:
        raise Bad("no delay", "expected IF DOWN [UP]")
    down = micros(line.words[1], 0, 255 * MICRO)
    up = micros(line.words[2], 0, 255 * MICRO) if len(line.words) > 2 else down
    return UpDownDelay(line.words[0], down, up)


def _linkbeat(loader: Loader, draft: Draft, given: Statement) -> None:
    loader.note_once(given, _LINKBEAT)

    def known(line: Statement) -> str:
        if not loader.host.has_interface(line.keyword):
            raise Bad(f"interface {line.keyword} does not exist", "expected an interface")
        return line.keyword

    Lines("linkbeat", known).apply(loader, draft, given)


def _mark(given: Statement) -> FwmarkRule:
    """Reads what `lbfast mark add` takes."""
    try:
        return parse_rule(given.words[1:])
    except UsageError as wrong:
        raise Bad(str(wrong), "expected the words of lbfast mark add") from None


def _local_group(loader: Loader, draft: Draft, given: Statement) -> None:
    """Reads the addresses of a group for FULLNAT: one, or a range, on a line."""
    inner = Draft(given.place)
    _name_needed(loader, inner, given)

    def take(line: Statement) -> None:
        for addr in addresses_of(line.words[0]):
            inner.add("addresses", addr, line.place)

    loader.lines(given, take)
    draft.add("local_address_group", inner, given.place)


GARP_GROUP: Table = {
    "garp_interval": Value("garp_interval_us", timer_us(1, MAX_TIMER_US)),
    "gna_interval": Value("gna_interval_us", timer_us(1, MAX_TIMER_US)),
    "interface": Value("interface", string),
    "interfaces": Lines("interfaces", lambda line: line.words),
}
TRACK_GROUP: Table = {
    "group": Lines("members", lambda line: (line.words, line.place)),
}

TOP: Table = {
    "global_defs": Call(_global_defs),
    "vrrp_instance": Block("vrrp_instance", lambda: VRRP_INSTANCE, named),
    "vrrp_sync_group": Block("vrrp_sync_group", lambda: SYNC_GROUP, named),
    "vrrp_script": Block("vrrp_script", lambda: VRRP_SCRIPT, _name_needed),
    "virtual_server": Block("virtual_server", lambda: VIRTUAL_SERVER, virtual_server_head),
    "virtual_server_group": Call(_group),
    "static_ipaddress": Lines("static_addresses", lambda line: (address_line(line), line.place)),
    "static_routes": Lines("static_routes", lambda line: (route_line(line), line.place)),
    "static_rules": Lines("static_rules", lambda line: (rule_line(line), line.place)),
    "track_file": Block("track_file", lambda: TRACK_FILE, _name_needed),
    "vrrp_track_file": Block("track_file", lambda: TRACK_FILE, _name_needed),
    "vrrp_track_process": Block("vrrp_track_process", lambda: TRACK_PROCESS, _name_needed),
    "track_group": Block("track_group", lambda: TRACK_GROUP, named),
    "garp_group": Block("garp_group", lambda: GARP_GROUP),
    "linkbeat_interfaces": Call(_linkbeat),
    "interface_up_down_delays": Lines("up_down_delays", _up_down),
    "bfd_instance": Block("bfd_instance", lambda: BFD, _name_needed),
    "SSL": Block("ssl", lambda: SSL, ssl_head),
    "net_namespace": Value("net_namespace", string, is_fatal=False),
    "net_namespace_ipvs": Ignored("virtual services are in the director's own namespace"),
    "namespace_with_ipsets": Ignored("there are no ipsets to keep apart"),
    "instance": Value("instance", string, is_fatal=False, is_once=True),
    "use_pid_dir": Flag("use_pid_dir"),
    "linkbeat_use_polling": Ignored(_LINKBEAT),
    "mark": own(Append("marks", _mark)),
    "local_address_group": own(Call(_local_group)),
    "child_wait_time": Value("child_wait_time_s", integer()),
}
