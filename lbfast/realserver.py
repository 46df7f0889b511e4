"""`lbfast realserver`: prepares this host to accept what a director sends it, and undoes that."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from lbfast.control.rundir import director_name, run_directory
from lbfast.errors import ConfigError
from lbfast.realservers import tunnel
from lbfast.realservers.host import (
    IFF_LOOPBACK,
    IFF_NOARP,
    QUIET,
    Netlink,
    apply_setting,
    read_sysctl,
    settings_to_raise,
    undo_settings,
)
from lbfast.realservers.notes import Notes, NotesFile, Setting, Tunnel, Vip
from lbfast.words import Parser, refuse

NOT_AS_PREPARED = 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="lbfast realserver",
        description="Prepare this host as a real server of services with -g (DR) or -i (TUN): "
        "the VIP on lo, no ARP for it, tunnels unwrapped.",
    )
    words = parser.add_subparsers(dest="word", required=True, metavar="add|del|status")
    add = words.add_parser("add", help="accept packets for these VIPs")
    add.add_argument("vip", nargs="+", metavar="VIP", help="an IPv4 or IPv6 address")
    add.add_argument(
        "--tunnel",
        action="store_true",
        help="also unwrap IP-in-IP, by the kernel where it can, else by a process of our own",
    )
    add.add_argument(
        "--interface",
        metavar="IF",
        default="lo",
        help="the interface that carries the VIPs: lo, or one without ARP such as a dummy",
    )
    delete = words.add_parser("del", help="undo it")
    delete.add_argument("vip", nargs="*", metavar="VIP", help="only these (default: all)")
    words.add_parser("status", help="say what is prepared; exit 1 unless all of it is in place")
    return parser


def main(words: Sequence[str]) -> int:
    """Does one command line; returns 0, 1 (not as prepared) or 2 (refused, one sentence)."""
    netlink = None
    try:
        args = _parser().parse_args(list(words))
        vips = [parse_vip(text) for text in getattr(args, "vip", [])]
        notes = NotesFile(run_directory(director_name(os.environ)))
        netlink = Netlink()
        if args.word == "status":
            return _status(notes, netlink)
        _check_root()
        with notes.locked():
            if args.word == "add":
                _add(notes, netlink, vips, args.interface, args.tunnel)
            else:
                _delete(notes, netlink, vips)
    except ConfigError as error:
        return refuse("lbfast realserver", str(error))
    finally:
        if netlink:
            netlink.close()
    return 0


def parse_vip(text: str) -> str:
    """Return a VIP in its usual spelling; ConfigError if it cannot be one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no address, expected IPv4 or IPv6 without prefix"
        ) from None
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise ConfigError(f"{address} cannot be a VIP, expected a unicast address of a network")
    if address.is_link_local:
        raise ConfigError(f"{address} cannot be a VIP: link-local, no director can reach it")
    return str(address)


def _check_root() -> None:
    if os.geteuid() != 0:
        raise ConfigError("changing addresses and settings needs CAP_NET_ADMIN: run it as root")


def _add(
    notes_file: NotesFile, netlink: Netlink, addresses: list[str], device: str, tunnelled: bool
) -> None:
    notes = notes_file.read()
    _check_device(netlink, device)
    vips = _new_vips(notes, netlink, addresses, device)
    settings: tuple[Setting, ...] = ()
    if any(not vip.is_v6 for vip in vips):
        known = {setting.name for setting in notes.settings}
        settings = tuple(s for s in settings_to_raise(QUIET) if s.name not in known)
    # noted first: what is interrupted half-way can still be undone
    notes = replace(notes, vips=(*notes.vips, *vips), settings=(*notes.settings, *settings))
    notes_file.write(notes)
    for setting in settings:
        apply_setting(setting)
    for vip in vips:
        netlink.add_vip(vip)
    if tunnelled:
        _start_tunnel(notes_file, netlink, notes)
    elif notes.tunnel:
        tunnel.reload(notes_file)


def _check_device(netlink: Netlink, device: str) -> None:
    links = netlink.links()
    if device not in links:
        raise ConfigError(f"interface {device!r} unknown, there are: {', '.join(sorted(links))}")
    if not links[device][1] & (IFF_LOOPBACK | IFF_NOARP):
        raise ConfigError(f"interface {device} speaks ARP, expected lo or one that does not")


def _new_vips(notes: Notes, netlink: Netlink, addresses: list[str], device: str) -> list[Vip]:
    """Return notes for the VIPs that are not prepared yet; refuses what would answer ARP."""
    holders = netlink.holders()
    labels = {label for found in holders.values() for _, label in found}
    vips = []
    for address in dict.fromkeys(addresses):
        if notes.vip(address):
            continue
        at = [name for name, _ in holders.get(address, [])]
        if others := [name for name in at if name != device]:
            raise ConfigError(
                f"{address} is an address of {others[0]} already, expected it on {device} alone"
            )
        if ":" in address:
            _check_ipv6(address, device)
            vips.append(Vip(address, device, own_address=not at))
            continue
        label = next(f"{device}:{n}" for n in range(65536) if f"{device}:{n}" not in labels)
        labels.add(label)
        has_route = netlink.has_host_route(address)
        vips.append(Vip(address, device, label, own_address=not at, own_route=not has_route))
    return vips


def _check_ipv6(address: str, device: str) -> None:
    name = f"net.ipv6.conf.{device}.disable_ipv6"
    try:
        disabled = read_sysctl(name) != "0"
    except FileNotFoundError:
        raise ConfigError(f"{address}: this kernel has no IPv6") from None
    if disabled:
        raise ConfigError(f"{address}: IPv6 is switched off here ({name} is 1)")


def _start_tunnel(notes_file: NotesFile, netlink: Netlink, notes: Notes) -> None:
    """See to it that tunnels are unwrapped; a process that was killed is started again."""
    if tunnel.running(notes_file):
        tunnel.reload(notes_file)
        return
    planned = notes.tunnel or tunnel.plan(netlink)
    loose = tuple(
        (f"net.ipv4.conf.{name}.rp_filter", "2")
        for name in tunnel.kernel_devices(planned)
        if name == "tunl0"  # the others carry IPv6 alone
    )
    settings = settings_to_raise(loose)
    notes = replace(notes, tunnel=planned, settings=(*notes.settings, *settings))
    notes_file.write(notes)
    for setting in settings:
        apply_setting(setting)
    for device in planned.addressed:
        netlink.add_dummy_address(device)
    for device in planned.raised:
        netlink.set_up(device, True)
    if planned.kinds:
        tunnel.start(planned, notes_file)


def _delete(notes_file: NotesFile, netlink: Netlink, addresses: list[str]) -> None:
    notes = notes_file.read()
    for address in addresses:
        if not notes.vip(address):
            prepared = ", ".join(v.address for v in notes.vips) or "none"
            raise ConfigError(f"{address} is not prepared here, prepared: {prepared}")
    for vip in [v for v in notes.vips if not addresses or v.address in addresses]:
        netlink.remove_vip(vip)
        notes = notes.without(vip)
        notes_file.write(notes)
    if notes.vips:
        tunnel.reload(notes_file)
        return
    if notes.tunnel:
        tunnel.stop(notes_file)
        for device in notes.tunnel.addressed:
            netlink.remove_dummy_address(device)
        for device in notes.tunnel.raised:
            if device in netlink.links():
                netlink.set_up(device, False)
        notes_file.log_path.unlink(missing_ok=True)
    notes, foreign = undo_settings(notes)
    for name in foreign:
        print(f"lbfast realserver: {name} was changed by somebody else, left", file=sys.stderr)
    notes_file.write(replace(notes, tunnel=None))


def _status(notes_file: NotesFile, netlink: Netlink) -> int:
    """Print a line for each thing prepared and whether it is in place."""
    notes = notes_file.read()
    if not notes.vips:
        print("not prepared as a real server")
        return NOT_AS_PREPARED
    holders = netlink.holders()
    lines = []
    for vip in notes.vips:
        there = vip.device in [name for name, _ in holders.get(vip.address, [])]
        lines.append(
            (f"vip {vip.address} on {vip.label or vip.device}", "" if there else "missing")
        )
    for setting in notes.settings:
        value = read_sysctl(setting.name)
        lines.append((f"{setting.name} {value}", "" if value == setting.ours else "changed"))
    if notes.tunnel:
        lines += _tunnel_lines(notes_file, notes.tunnel)
    for text, trouble in lines:
        print(f"{text}: {trouble}" if trouble else text)
    return NOT_AS_PREPARED if any(trouble for _, trouble in lines) else 0


def _tunnel_lines(notes_file: NotesFile, planned: Tunnel) -> list[tuple[str, str]]:
    lines = [(f"tunnel by the kernel: {name}", "") for name in tunnel.kernel_devices(planned)]
    if planned.kinds:
        pid = tunnel.running(notes_file)
        text = f"tunnel by lbfast: {planned.device} {' '.join(planned.kinds)}"
        lines.append((f"{text} pid {pid}" if pid else text, "" if pid else "not running"))
    return lines
