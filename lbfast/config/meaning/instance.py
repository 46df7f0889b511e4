"""vrrp_instance: from what is written to what is in force (spec 2.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lbfast.config.blocks import Draft
from lbfast.config.findings import Place
from lbfast.config.keywords.vrrp import VmacWords
from lbfast.config.meaning.context import Context
from lbfast.config.meaning.netlines import RulePriorities, routes, rules
from lbfast.config.meaning.strict import apply_strict
from lbfast.config.meaning.timing import advert_us, garp
from lbfast.config.meaning.tracking import Trackers, tracking
from lbfast.config.networds import family_of
from lbfast.model import AF_INET, AF_INET6
from lbfast.model.netlines import Address
from lbfast.model.vrrp import (
    DEFAULT_GROUP4,
    DEFAULT_GROUP6,
    OWNER_PRIORITY,
    AuthType,
    Notify,
    Peer,
    Vmac,
    VmacKind,
    VrrpInstance,
)

_MAX_ADDRESSES = 255
_UNICAST_WORDS = ("unicast_src", "unicast_ttl", "check_unicast_src", "old_unicast_checksum")
_NOTIFY = {
    "master": "notify_master",
    "backup": "notify_backup",
    "fault": "notify_fault",
    "stop": "notify_stop",
    "deleted": "notify_deleted",
    "master_rx_lower_pri": "notify_master_rx_lower_pri",
    "any": "notify",
}


class Instance:
    """One block on its way to a VrrpInstance."""

    def __init__(self, context: Context, draft: Draft) -> None:
        self.context, self.draft = context, draft
        self.name: str = draft.get("name")
        self.fields: dict[str, Any] = {"name": self.name}

    def error(self, place: Place, found: str, expected: str) -> None:
        self.context.findings.error(place, f"({self.name}) {found}", expected)

    def refuse(self, place: Place, found: str, expected: str) -> None:
        self.context.findings.refuse(place, f"({self.name}) {found}", expected)

    def clear(self, field: str, why: str) -> None:
        """Takes back what was written."""
        if self.draft.get(field):
            self.error(self.draft.at(field), f"{field} {why}", "ignored")
            self.draft.drop(field)

    @property
    def is_strict(self) -> bool:
        return bool(self.draft.get("strict", self.context.globals.get("vrrp_strict", False)))

    # ---- identity

    def identify(self) -> bool:
        """Settles VRID and interface; False if the instance cannot be."""
        draft = self.draft
        if "vrid" not in draft:
            self.refuse(draft.place, "no virtual_router_id", "expected one from 1 to 255")
        if "interface" not in draft:
            self._no_interface()
        for name, place in zip(
            draft.get("interfaces", []), draft.items.get("interfaces", []), strict=True
        ):
            self.context.require_interface(name, place, f"({self.name})")
        self.fields["vrid"] = draft.get("vrid", 0)
        self.fields["interface"] = draft.get("interface", "")
        return "vrid" in draft

    def _no_interface(self) -> None:
        """Without peers there is nowhere to send; with them keepalived 2.2 wants one as well."""
        if not self.draft.get("peers"):
            self.refuse(self.draft.place, "no interface", "expected one")
            return
        self.error(self.draft.place, "no interface", "expected one; keepalived 2.2 needs it")
        for field in ("use_vmac", "use_ipvlan"):
            self.clear(field, "without an interface")

    def find_addresses(self) -> None:
        """Settles the family, by the first address, and the two lists of addresses."""
        draft = self.draft
        found: list[Address] = draft.get("addresses", [])
        excluded: list[Address] = draft.get("excluded", [])
        first = found[0] if found else next(iter(excluded), None)
        size = len(first.addr) if first else 4
        self.family = AF_INET if size == 4 else AF_INET6
        kept = [address for address in found if len(address.addr) == size]
        if len(kept) != len(found):
            self.error(draft.at("addresses"), "addresses of two families", "the first one's kept")
        kept, excluded = self._unique(kept), self._unique(excluded)
        if len(kept) > _MAX_ADDRESSES:
            self.error(draft.at("addresses"), f"{len(kept)} addresses", "255 are advertised")
            excluded = kept[_MAX_ADDRESSES:] + excluded
            kept = kept[:_MAX_ADDRESSES]
        places = dict(zip(draft.get("excluded", []), draft.items.get("excluded", []), strict=True))
        places |= zip(found, draft.items.get("addresses", []), strict=True)
        for address in (*kept, *excluded):
            self.context.require_interface(address.device, places[address], "address")
        self.fields |= {
            "family": self.family,
            "addresses": tuple(kept),
            "excluded": tuple(excluded),
        }

    def _unique(self, addresses: list[Address]) -> list[Address]:
        return list(dict.fromkeys(addresses))

    def find_version(self) -> None:
        draft = self.draft
        self.version = draft.get("version") or self.context.globals.get("vrrp_version", 2)
        if self.family == AF_INET6 and self.version == 2:
            if draft.get("version") == 2:
                self.error(draft.at("version"), "version 2 with IPv6", "version 3 is used")
            self.version = 3
        if self.family == AF_INET and draft.get("native_ipv6"):
            self.error(draft.at("native_ipv6"), "native_ipv6 with IPv4 addresses", "ignored")
        if not self.fields["addresses"]:
            self._no_addresses()
        self.fields |= {"version": self.version, "strict": self.is_strict}

    def _no_addresses(self) -> None:
        draft = self.draft
        if draft.get("no_virtual_ipaddress"):
            return
        if self.version == 3 or self.is_strict:
            self.refuse(draft.place, "no virtual_ipaddress", "version 3 needs one")
        else:
            self.error(draft.place, "no virtual_ipaddress", "expected at least one")

    # ---- priority and preemption

    def find_priority(self) -> None:
        draft = self.draft
        state = draft.get("state", "BACKUP")
        default = OWNER_PRIORITY if state == "MASTER" else 100
        priority = draft.get("priority", default)
        wants = state == "MASTER"
        if priority == OWNER_PRIORITY and "state" not in draft:
            wants = True
        if self.is_strict and wants != (priority == OWNER_PRIORITY):
            self.error(draft.at("state"), f"state with priority {priority}",
                       "vrrp_strict: MASTER is who owns the address")  # fmt: skip
            wants = priority == OWNER_PRIORITY
        if self.auth_type is AuthType.AH and wants and priority != OWNER_PRIORITY:
            self.error(draft.at("state"), "state MASTER with auth_type AH", "BACKUP is used")
            wants = False
        self.fields |= {"priority": priority, "wants_master": wants}
        self._preemption(priority, wants)

    def _preemption(self, priority: int, wants: bool) -> None:
        draft = self.draft
        if wants:
            self.clear("nopreempt", "with state MASTER")
            self.clear("preempt_delay_us", "with state MASTER")
        if priority == OWNER_PRIORITY:
            self.clear("nopreempt", "with priority 255")
        if draft.get("nopreempt"):
            self.clear("preempt_delay_us", "with nopreempt")
        accept = draft.get("accept")
        if self.is_strict and self.version == 2 and accept and priority != OWNER_PRIORITY:
            self.error(draft.at("accept"), "accept with vrrp_strict in version 2", "ignored")
            accept = None
        if accept is None:
            accept = not self.is_strict or priority == OWNER_PRIORITY
        self.fields |= {
            "nopreempt": draft.get("nopreempt", False),
            "preempt_delay_us": draft.get("preempt_delay_us", 0),
            "accept": accept,
        }

    def find_authentication(self) -> None:
        self.auth_type = AuthType.NONE
        inner: Draft | None = self.draft.get("authentication")
        if inner is None:
            return
        kind, secret = inner.get("type"), inner.get("password", b"")
        if kind is None:
            return
        if not secret:
            self.error(inner.place, "auth_type without auth_pass", "authentication is ignored")
        elif self.is_strict:
            self.error(inner.place, "authentication with vrrp_strict", "ignored")
        elif self.version == 3:
            self.error(inner.place, "authentication in version 3", "ignored")
        elif kind is AuthType.AH and self.family == AF_INET6:
            self.error(inner.place, "auth_type AH with IPv6", "ignored")
        else:
            self.auth_type = kind
            self.fields |= {"auth_type": kind, "auth_pass": secret}

    # ---- where packets go

    def find_peers(self) -> None:
        draft = self.draft
        size = 4 if self.family == AF_INET else 16
        peers: list[Peer] = draft.get("peers", [])
        kept = [peer for peer in peers if len(peer.addr) == size]
        if len(kept) != len(peers):
            self.error(draft.at("peers"), "unicast_peer of another family", "ignored")
        has_limits = any(p.min_ttl is not None or p.max_ttl is not None for p in kept)
        self.fields |= {
            "peers": tuple(kept),
            "check_unicast_src": bool(kept) and (
                has_limits
                or draft.get("check_unicast_src", False)
                or self.context.globals.get("vrrp_check_unicast_src", False)
            ),
            "unicast_fault_no_peer": draft.get("unicast_fault_no_peer", False),
            "unicast_ttl": draft.get("unicast_ttl", 255),
        }  # fmt: skip
        is_unicast = any(word in draft for word in (*_UNICAST_WORDS, "peers"))
        if is_unicast and not kept and not draft.get("unicast_fault_no_peer"):
            self.error(draft.place, "unicast keywords without unicast_peer", "multicast used")
        self._source(size)

    def _source(self, size: int) -> None:
        draft = self.draft
        source = b""
        for field in ("mcast_src", "unicast_src"):
            if draft.get(field):
                source = draft.get(field)
                if len(source) != size:
                    self.error(draft.at(field), "source of another family", "ignored")
                    source = b""
        group = draft.get("mcast_dst", b"")
        if group and (len(group) != size or not _is_multicast(group)):
            self.error(draft.at("mcast_dst"), "mcast_dst_ip is no such group", "ignored")
            group = b""
        globals_ = self.context.globals
        default = (
            globals_.get("vrrp_mcast_group4", DEFAULT_GROUP4)
            if size == 4
            else globals_.get("vrrp_mcast_group6", DEFAULT_GROUP6)
        )
        vrf = draft.get("vrf", "")
        if vrf and draft.get("interface"):
            self.error(draft.at("vrf"), "vrf beside interface", "ignored")
            vrf = ""
        self.context.require_interface(vrf, draft.at("vrf"), f"({self.name}) vrf")
        self.fields |= {
            "source": source,
            "group": group or default,
            "track_src_ip": draft.get("track_src_ip", False),
            "vrf": vrf,
        }

    def find_vmac(self) -> None:
        draft = self.draft
        vmac: VmacWords | None = draft.get("use_vmac")
        ipvlan: VmacWords | None = draft.get("use_ipvlan")
        xmit_base = bool(draft.get("vmac_xmit_base"))
        if xmit_base and not vmac and not ipvlan:
            self.error(draft.at("vmac_xmit_base"), "vmac_xmit_base without a vmac", "ignored")
            xmit_base = False
        if vmac and ipvlan:
            self.error(draft.at("use_ipvlan"), "use_ipvlan beside use_vmac", "use_vmac holds")
            ipvlan = None
        globals_ = self.context.globals
        common = {
            "xmit_base": xmit_base or bool((vmac or ipvlan) and self.fields["peers"]),
            "prefix": globals_.get("vmac_prefix", "vrrp"),
            "addr_prefix": globals_.get("vmac_addr_prefix", globals_.get("vmac_prefix", "vrrp")),
            "on_addresses": draft.get("use_vmac_addr", False),
        }
        if vmac:
            self.fields["vmac"] = Vmac(VmacKind.MACVLAN, vmac.name, mac=self._mac(vmac), **common)
        elif ipvlan:
            if ipvlan.addr and family_of(ipvlan.addr) != self.family:
                self.error(draft.at("use_ipvlan"), "address of another family", "ignored")
                ipvlan = VmacWords(ipvlan.name, mode=ipvlan.mode)
            self.fields["vmac"] = Vmac(
                VmacKind.IPVLAN, ipvlan.name, ipvlan_addr=ipvlan.addr,
                ipvlan_mode=ipvlan.mode, **common,
            )  # fmt: skip
            if self.family == AF_INET and not ipvlan.addr and not self.fields["source"]:
                self.error(draft.at("use_ipvlan"), "IPv4 ipvlan without an address", "FAULT")
        self.fields["promote_secondaries"] = draft.get("promote_secondaries", False)

    def _mac(self, vmac: VmacWords) -> bytes:
        return vmac.mac + bytes((self.fields["vrid"],)) if len(vmac.mac) == 5 else vmac.mac

    # ---- the rest

    def find_switches(self) -> None:
        draft, globals_ = self.draft, self.context.globals
        for name, default in (
            ("lower_prio_no_advert", "lower_prio_no_advert"),
            ("higher_prio_send_advert", "higher_prio_send_advert"),
            ("skip_check_adv_addr", "vrrp_skip_check_adv_addr"),
            ("owner_ignore_adverts", "owner_ignore_adverts"),
            ("v3_checksum_as_v2", "v3_checksum_as_v2"),
        ):
            self.fields[name] = draft.get(name, globals_.get(default, False))
        self.fields["timer_expired_backup"] = draft.get("timer_expired_backup", False)
        self.fields["track_primary"] = not draft.get("dont_track_primary", False)
        adverts = draft.get("down_timer_adverts", globals_.get("down_timer_adverts", 3))
        if self.is_strict:
            adverts = 3
            self.fields["lower_prio_no_advert"] = True
            self.fields["higher_prio_send_advert"] = False
        self.fields["down_timer_adverts"] = adverts
        self.fields["advert_us"] = advert_us(self)
        self.fields["garp"] = garp(draft, globals_, self.is_strict)

    def finish(self, known: Trackers, priorities: RulePriorities) -> VrrpInstance:
        self.fields["routes"] = routes(self.context, self.draft.get("routes", []))
        self.fields["rules"] = rules(self.context, self.draft.get("rules", []), priorities)
        self.fields["tracking"] = tracking(self.context, self.draft, known, f"({self.name})")
        self.fields["notify"] = notify(self.context, self.draft)
        return VrrpInstance(**self.fields)


def _is_multicast(group: bytes) -> bool:
    return group[0] == 0xFF if len(group) == 16 else group[0] >> 4 == 0xE


def notify(context: Context, draft: Draft) -> Notify:
    """Returns the programs and mails of an instance or a group."""
    scripts = {field: context.script(draft.get(word)) for field, word in _NOTIFY.items()}
    globals_ = context.globals
    alert = draft.get("smtp_alert", globals_.get("smtp_alert_vrrp", globals_.get("smtp_alert")))
    changes = draft.get("notify_priority_changes", globals_.get("notify_priority_changes", False))
    return Notify(**scripts, priority_changes=changes, smtp_alert=bool(alert))


def instances(
    context: Context, top: Draft, known: Trackers, priorities: RulePriorities
) -> tuple[VrrpInstance, ...]:
    """Returns the instances that can run."""
    found = []
    for draft in context.unique("vrrp_instance", top.get("vrrp_instance", [])):
        instance = Instance(context, draft)
        is_complete = instance.identify()
        instance.find_addresses()
        instance.find_version()
        apply_strict(instance)
        instance.find_authentication()
        instance.find_priority()
        instance.find_peers()
        instance.find_vmac()
        instance.find_switches()
        made = instance.finish(known, priorities)
        if is_complete:
            found.append((made, draft.place))
    _refuse_same_vrid(context, found)
    return tuple(made for made, _ in found)


def _refuse_same_vrid(context: Context, found: Iterable[tuple[VrrpInstance, Place]]) -> None:
    """Refuses two instances that cannot tell their packets apart."""
    seen: dict[object, VrrpInstance] = {}
    for made, place in found:
        where = made.peers if made.unicast else made.group
        key = (made.vrid, made.family, made.interface, where)
        if key in seen:
            context.findings.refuse(
                place, f"({made.name}) virtual_router_id {made.vrid} is {seen[key].name}'s",
                "expected another on this interface",
            )  # fmt: skip
        seen.setdefault(key, made)
