"""The words of `lbfast realserver` and its notes, without a host to change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lbfast.errors import ConfigError, ControlError
from lbfast.realserver import parse_vip
from lbfast.realservers import decap
from lbfast.realservers.decap import KINDS
from lbfast.realservers.notes import Notes, NotesFile, Setting, Tunnel, Vip, boot_id
from lbfast.realservers.tunnel import KERNEL, kernel_devices

VIP = Vip("198.51.100.1", "lo", "lo:0", own_route=True)
NOTES = Notes(
    boot_id(),
    (VIP,),
    (Setting("net.ipv4.conf.all.arp_ignore", "0", "1"),),
    Tunnel("lbtun0", ("4in4",), ("tunl0",)),
)


@pytest.mark.parametrize(
    ("text", "vip"),
    [("198.51.100.1", "198.51.100.1"), ("2001:DB8:0::1", "2001:db8::1")],
)
def test_vip_gets_its_usual_spelling(text: str, vip: str) -> None:
    assert parse_vip(text) == vip


@pytest.mark.parametrize(
    "text", ["", "lb", "10.0.0.1/32", "127.0.0.1", "::", "ff02::1", "fe80::1"]
)
def test_what_cannot_be_a_vip_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_vip(text)


def test_notes_come_back_as_written(tmp_path: Path) -> None:
    file = NotesFile(tmp_path)
    file.write(NOTES)
    assert file.read() == NOTES
    assert NOTES.vip("198.51.100.1") == VIP
    assert NOTES.without(VIP).vips == ()


def test_empty_notes_leave_no_file(tmp_path: Path) -> None:
    file = NotesFile(tmp_path)
    file.write(NOTES)
    file.write(Notes(boot_id()))
    assert not file.path.exists()
    assert file.read() == Notes(boot_id())


def test_notes_of_an_earlier_boot_hold_nothing(tmp_path: Path) -> None:
    file = NotesFile(tmp_path)
    file.write(replace(NOTES, boot="another"))
    assert file.read().vips == ()


def test_damaged_notes_are_refused(tmp_path: Path) -> None:
    file = NotesFile(tmp_path)
    file.path.write_text('{"boot": 1}')
    with pytest.raises(ControlError, match=r"realserver\.json"):
        file.read()


def test_kernel_takes_the_kinds_that_are_not_ours() -> None:
    assert kernel_devices(Tunnel("lbtun0", tuple(KINDS))) == ()
    assert kernel_devices(Tunnel("lbtun0", ("4in6",))) == tuple(d for _, d in KERNEL.values())


def test_a_host_without_tun_devices_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(decap, "TUN", str(tmp_path / "tun"))
    with pytest.raises(SystemExit, match=r"tun is not there: load the kernel's module tun$"):
        decap.open_tun("lbtun0")
