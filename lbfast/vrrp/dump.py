"""What VRRP is doing, in the words of keepalived's dump files (spec 5): text, statistics, JSON.

Passwords are left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from lbfast.model import AF_INET
from lbfast.model.netlines import Address
from lbfast.model.vrrp import AuthType, VmacKind
from lbfast.vrrp.actions import Counters, State
from lbfast.vrrp.checks import Reject
from lbfast.vrrp.kernel import text_of
from lbfast.vrrp.machine import Machine
from lbfast.vrrp.routes import route_text
from lbfast.vrrp.service import VrrpService
from lbfast.vrrp.station import Station

_STATE_NUMBER = {State.INIT: 0, State.BACKUP: 1, State.MASTER: 2, State.FAULT: 3}
_AUTH = {AuthType.PASS: "SIMPLE_PASSWORD", AuthType.AH: "IPSEC_AH"}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
# statistics: title, then (label, key of the JSON dump)
_BLOCKS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Advertisements", (("Received", "advert_rcvd"), ("Sent", "advert_sent"))),
    ("Became master", (("", "become_master"),)),
    ("Released master", (("", "release_master"),)),
    (
        "Packet Errors",
        (
            ("Length", "packet_len_err"),
            ("TTL", "ip_ttl_err"),
            ("Invalid Type", "invalid_type_rcvd"),
            ("Advertisement Interval", "advert_interval_err"),
            ("Address List", "addr_list_err"),
        ),
    ),
    (
        "Authentication Errors",
        (
            ("Invalid Type", "invalid_authtype"),
            ("Type Mismatch", "authtype_mismatch"),
            ("Failure", "auth_failure"),
        ),
    ),
    ("Priority Zero", (("Received", "pri_zero_rcvd"), ("Sent", "pri_zero_sent"))),
)


def counters_of(counters: Counters) -> dict[str, int]:
    """Return the statistics under the names of the JSON dump."""

    def rejected(*reasons: str) -> int:
        return sum(counters.rejected.get(reason, 0) for reason in reasons)

    return {
        "advert_rcvd": counters.adverts_received,
        "advert_sent": counters.adverts_sent,
        "become_master": counters.became_master,
        "release_master": counters.released_master,
        "packet_len_err": rejected(Reject.LENGTH),
        "advert_interval_err": rejected(Reject.INTERVAL),
        "ip_ttl_err": rejected(Reject.TTL),
        "invalid_type_rcvd": rejected(Reject.TYPE),
        "addr_list_err": rejected("address-list"),
        "invalid_authtype": rejected(Reject.AUTH_TYPE),
        "authtype_mismatch": rejected(Reject.AUTH_MISMATCH),
        "auth_failure": rejected(Reject.AUTH_FAILURE, Reject.SEQUENCE),
        "pri_zero_rcvd": counters.zero_received,
        "pri_zero_sent": counters.zero_sent,
    }


def statistics(service: VrrpService) -> str:
    """Return the text of the statistics file."""
    lines = []
    for name, machine in service.router.machines.items():
        values = counters_of(machine.counters)
        lines.append(f"VRRP Instance: {name}")
        for title, rows in _BLOCKS:
            if not rows[0][0]:
                lines.append(f"  {title}: {values[rows[0][1]]}")
                continue
            lines.append(f"  {title}:")
            lines += [f"    {label}: {values[key]}" for label, key in rows]
        lines += list(_own_counters(machine.counters))
    return "\n".join([*lines, ""])


def _own_counters(counters: Counters) -> Iterator[str]:
    """Yield what keepalived does not count: every reason, and lateness."""
    yield "  Late timers:"
    yield f"    Count: {counters.late}"
    yield f"    Worst: {counters.worst_late_ns / 1e6:.3f} ms"
    if counters.rejected:
        yield "  Rejected:"
        yield from (f"    {reason}: {n}" for reason, n in sorted(counters.rejected.items()))


def clear_statistics(service: VrrpService) -> None:
    """Begin to count anew."""
    for machine in service.router.machines.values():
        machine.counters.clear()


def _address_text(address: Address, station: Station) -> str:
    scope = _SCOPES.get(address.scope, str(address.scope))
    state = " set" if station.is_placed else ""
    label = f" label {address.label}" if address.label else ""
    device = station.device_of(address)
    return f"{text_of(address.addr)}/{address.prefixlen} dev {device} scope {scope}{label}{state}"


def _seconds(us: int) -> str:
    return f"{us / 1e6:g}"


def _head(name: str, machine: Machine, station: Station, entered_at: float) -> list[str]:
    instance = machine.instance
    when = f"{time.ctime(entered_at)}" if entered_at else "never"
    down_us = machine.down_ns() // 1000
    lines = [
        f" VRRP Instance = {name}",
        f"   VRRP Version = {instance.version}",
        f"   State = {machine.state}",
        f"   Number of interface and track script faults = {len(machine.causes)}",
        *(f"     {cause}" for cause in sorted(machine.causes)),
        f"   Number of track scripts init = {len(machine.waiting)}",
        f"   Last transition = {entered_at:.6f} ({when})",
        f"   Master down timer = {down_us} usecs",
        f"   Interface = {instance.interface}",
    ]
    if instance.vmac.kind is not VmacKind.NONE:
        lines.append(f"   VMAC Interface = {station.home}")
    if station.source:
        lines.append(f"   Using src_ip = {text_of(station.source)}")
    if instance.unicast:
        lines.append(f"   Unicast Peers ({len(instance.peers)}):")
        lines += [f"     {text_of(peer.addr)}" for peer in instance.peers]
    else:
        lines.append(f"   Multicast address {text_of(instance.group)}")
    return lines


def _settings(machine: Machine) -> list[str]:
    instance, garp = machine.instance, machine.instance.garp
    lower = "false" if instance.lower_prio_no_advert else "true"
    higher = "true" if instance.higher_prio_send_advert else "false"
    delay = f" delay {_seconds(instance.preempt_delay_us)} s" if instance.preempt_delay_us else ""
    return [
        f"   Gratuitous ARP delay = {_seconds(garp.master_delay_us)}",
        f"   Gratuitous ARP repeat = {garp.master_repeat}",
        f"   Gratuitous ARP refresh = {_seconds(garp.refresh_us)}",
        f"   Gratuitous ARP refresh repeat = {garp.refresh_repeat}",
        f"   Gratuitous ARP lower priority delay = {_seconds(garp.lower_prio_delay_us)}",
        f"   Gratuitous ARP lower priority repeat = {garp.lower_prio_repeat}",
        f"   Down timer adverts = {instance.down_timer_adverts}",
        f"   Send advert after receive lower priority advert = {lower}",
        f"   Send advert after receive higher priority advert = {higher}",
        f"   Virtual Router ID = {instance.vrid}",
        f"   Priority = {instance.priority}",
        f"   Effective priority = {machine.priority}",
        f"   Advert interval = {_seconds(machine.interval_ns // 1000)} sec",
        f"   Master advert interval = {_seconds(machine.master_interval_ns // 1000)} sec",
        f"   Accept = {'enabled' if instance.accept else 'disabled'}",
        f"   Preempt = {'disabled' if instance.nopreempt else 'enabled'}{delay}",
    ]


def text(service: VrrpService) -> str:
    """Return the text of the data file."""
    lines = ["------< VRRP Topology >------"]
    for name, machine in service.router.machines.items():
        station, instance = service.stations[name], machine.instance
        lines += _head(name, machine, station, service.entered_at.get(name, 0.0))
        lines += _settings(machine)
        if instance.auth_type:
            lines.append(f"   Authentication type = {_AUTH[instance.auth_type]}")
        for title, addresses in (
            ("Virtual IP", instance.addresses),
            ("Virtual IP Excluded", instance.excluded),
        ):
            if addresses:
                lines.append(f"   {title} ({len(addresses)}):")
                lines += [f"     {_address_text(address, station)}" for address in addresses]
        if instance.routes:
            lines.append("   Virtual Routes :")
            lines += [f"     {route_text(route)}" for route in instance.routes]
    if service.router.groups:
        lines.append("------< VRRP Sync groups >------")
    for group in service.router.groups:
        lines += [f" VRRP Sync Group = {group.config.name}, {group.state}"]
        lines += [f"   monitor = {name}" for name in group.config.members]
    return "\n".join([*lines, *_scripts(service), ""])


def _scripts(service: VrrpService) -> Iterator[str]:
    trackers = service.trackers
    if trackers is None or not trackers.scripts:
        return
    yield "------< VRRP Scripts >------"
    for name, tracker in trackers.scripts.items():
        word = {None: "INIT", True: "GOOD", False: "BAD"}[tracker.streak.is_up]
        yield f" VRRP Script = {name}"
        yield f"   Command = {' '.join(tracker.config.script.argv)}"
        yield f"   Interval = {_seconds(tracker.config.interval_us)} sec"
        yield f"   State = {word}"
        yield f"   Last status = {tracker.last_status}"
        yield f"   Runs = {tracker.runs}, failures = {tracker.failures}"


def _data(service: VrrpService, name: str, machine: Machine) -> dict[str, Any]:
    station, instance, garp = service.stations[name], machine.instance, machine.instance.garp
    state = _STATE_NUMBER.get(machine.state, 0)
    has_vmac = instance.vmac.kind is not VmacKind.NONE
    return {
        "iname": name,
        "dont_track_primary": int(not instance.track_primary),
        "skip_check_adv_addr": int(instance.skip_check_adv_addr),
        "strict_mode": int(instance.strict),
        "vmac_ifname": station.home if has_vmac else "",
        "ifp_ifname": instance.interface,
        "master_priority": machine.master_priority,
        "last_transition": round(service.entered_at.get(name, 0.0), 6),
        "garp_delay": garp.master_delay_us / 1e6,
        "garp_refresh": garp.refresh_us / 1e6,
        "garp_rep": garp.master_repeat,
        "garp_refresh_rep": garp.refresh_repeat,
        "garp_lower_prio_delay": garp.lower_prio_delay_us / 1e6,
        "garp_lower_prio_rep": garp.lower_prio_repeat,
        "lower_prio_no_advert": int(instance.lower_prio_no_advert),
        "higher_prio_send_advert": int(instance.higher_prio_send_advert),
        "vrid": instance.vrid,
        "base_priority": instance.priority,
        "effective_priority": machine.priority,
        "vipset": station.is_placed,
        "promote_secondaries": instance.promote_secondaries,
        "adver_int": machine.interval_ns / 1e9,
        "master_adver_int": machine.master_interval_ns / 1e9,
        "accept": int(instance.accept),
        "nopreempt": instance.nopreempt,
        "preempt_delay": instance.preempt_delay_us / 1e6,
        "state": state,
        "wantstate": state,
        "version": instance.version,
        "smtp_alert": instance.notify.smtp_alert,
        "notify_deleted": instance.notify.deleted is not None,
        **_lists(machine, station),
    }


def _lists(machine: Machine, station: Station) -> dict[str, Any]:
    instance = machine.instance
    return {
        "vips": [_address_text(address, station) for address in instance.addresses],
        "evips": [_address_text(address, station) for address in instance.excluded],
        "vroutes": [route_text(route) for route in instance.routes],
        "auth_type": int(instance.auth_type),
        "family": 4 if instance.family == AF_INET else 6,
    }


def as_json(service: VrrpService) -> str:
    """Return the text of the JSON file: a list of instances with data and statistics."""
    return json.dumps(
        [
            {"data": _data(service, name, machine), "stats": counters_of(machine.counters)}
            for name, machine in service.router.machines.items()
        ]
    )
