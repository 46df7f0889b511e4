"""What two routers of one VRID must live through, whoever of them is keepalived."""

from __future__ import annotations

from dataclasses import replace

from lbfast.model.vrrp import VrrpInstance
from netns.build import Net
from tests.e2e.capture import Capture
from tests.e2e.vrrplab import (
    EXPRESSION,
    Router,
    adverts,
    announced,
    mac_of,
    spacing,
    unicast,
    vip_of,
    wait_masters,
)


def down_s(instance: VrrpInstance) -> float:
    """Return Master_Down_Timer of spec 4.3."""
    return 3 * instance.advert_us / 1e6 + skew_s(instance)


def skew_s(instance: VrrpInstance) -> float:
    base = 1.0 if instance.version == 2 else instance.advert_us / 1e6
    return (256 - instance.priority) / 256 * base


def close(value: float, expected: float, slack_s: float) -> bool:
    """Say whether a time is not shorter than expected and not much longer."""
    return expected - 0.002 <= value <= expected + slack_s


def take_turns(net: Net, instance: VrrpInstance, first: str, second: str) -> None:
    """Play rows 1 to 4 of spec 6.4: `first` has priority 150, `second` 100.

    Master silent backup; stop; start and preemption; crash; every time as the standard says.
    """
    high = Router(net, "va", first, _for("va", replace(instance, priority=150)))
    low_instance = _for("vb", replace(instance, priority=100))
    low = Router(net, "vb", second, low_instance)
    both, vip = [high, low], vip_of(instance)
    a, b = mac_of(net, "va"), mac_of(net, "vb")
    slack_s = 0.15  # the machine is shared
    observer = "vb" if instance.unicast else "vo"  # a switch shows unicast to nobody else
    with Capture(net, observer, "eth0", EXPRESSION) as first_half:
        high.start()
        wait_masters(both, vip, "va")
        low.start()
        high.stop()
        wait_masters(both, vip, "vb")
    seen = adverts(first_half)
    last = [one for one in seen if one.mac == a][-1]
    taken = [one for one in seen if one.mac == b]
    assert last.priority == 0, "no farewell"
    assert sum(one.priority == 0 for one in seen) == 1
    assert all(one.at > last.at for one in taken), "the backup was not silent"
    assert close(taken[0].at - last.at, skew_s(low_instance), slack_s)
    _check_announcements(first_half, taken[0].at, b, len(instance.addresses))
    with Capture(net, observer, "eth0", EXPRESSION) as second_half:
        high.start()
        wait_masters(both, vip, "va")
        high.crash()
        wait_masters(both, vip, "va", "vb")
    seen = adverts(second_half)
    ours = [one for one in seen if one.mac == a]
    before = [one for one in seen if one.mac == b and one.at < ours[0].at]
    after = [one for one in seen if one.mac == b and one.at > ours[0].at]
    assert before
    assert after[0].at > ours[-1].at, "the backup did not yield at once"
    assert close(after[0].at - ours[-1].at, down_s(low_instance), slack_s)
    assert abs(spacing(before) - instance.advert_us / 1e6) < 0.02
    low.stop()


def _for(host: str, instance: VrrpInstance) -> VrrpInstance:
    return unicast(instance, host) if instance.unicast else instance


def _check_announcements(capture: Capture, since: float, mac: str, addresses: int) -> None:
    found = [address for at, address in announced(capture, mac) if at >= since]
    assert len(set(found)) == addresses
    assert len(found) == 5 * addresses, "five rounds are due at once"
