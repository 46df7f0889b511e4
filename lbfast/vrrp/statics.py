"""Static addresses, routes and rules: set at start, removed at the end, put back meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from lbfast.model.netlines import Address, Route, Rule
from lbfast.model.vrrp import VrrpConfig
from lbfast.vrrp.kernel import Request, add_address, remove_address
from lbfast.vrrp.links import Links
from lbfast.vrrp.routes import add_route, add_rule, remove_route, remove_rule, route_text
from lbfast.vrrp.ways import Seen, SeenRoute

logger = logging.getLogger(__name__)

Apply = Callable[[Iterable[Request]], bool]


class Statics:
    """The static items of one configuration; `no_track` ones are not put back."""

    def __init__(self, links: Links, apply: Apply) -> None:
        self._links, self._apply = links, apply
        self._config = VrrpConfig()
        self._down: set[str] = set()

    # -- from one configuration to the next

    def place(self, new: VrrpConfig) -> None:
        """Go over to the items of another configuration."""
        old, self._config = self._config, new
        index_of = self._links.index_of
        gone: list[Request] = []
        gone += [remove_rule(rule) for rule in old.static_rules if rule not in new.static_rules]
        gone += [
            remove_route(route, index_of)
            for route in old.static_routes
            if route not in new.static_routes
        ]
        for address in old.static_addresses:
            if address not in new.static_addresses and (index := self._index(old, address)):
                gone.append(remove_address(address, index))
        come: list[Request] = []
        for address in new.static_addresses:
            if address not in old.static_addresses and (index := self._index(new, address)):
                come.append(add_address(address, index))
        come += [
            add_route(route, index_of)
            for route in new.static_routes
            if route not in old.static_routes
        ]
        come += [add_rule(rule) for rule in new.static_rules if rule not in old.static_rules]
        self._apply([*gone, *come])
        names = {_device(new, address) for address in new.static_addresses}
        names |= {route.device for route in new.static_routes}
        self._down = {name for name in names if not self._links.is_up(name)}

    def _index(self, config: VrrpConfig, address: Address) -> int:
        return self._links.index_of(_device(config, address))

    # -- what others do

    def _named(self, index: int, addr: bytes) -> Iterator[Address]:
        """Yield the tracked lines that an address on an interface belongs to."""
        for address in self._config.static_addresses:
            is_meant = address.addr == addr and address.track
            if is_meant and self._index(self._config, address) == index:
                yield address

    def address_changed(self, index: int, addr: bytes, is_there: bool) -> set[str]:
        """Put an address back that is gone; return the track groups whose cause changes.

        With `is_there` they have it again, else they lose it for good.
        """
        concerned = set()
        for address in self._named(index, addr):
            if not is_there:
                logger.info("a static address was removed by somebody else, putting it back")
            if is_there or not self._apply([add_address(address, index)]):
                concerned.add(address.track_group)
        return concerned - {""}

    def gone(self, seen: Seen) -> None:
        """Put a route or rule back."""
        if isinstance(seen, SeenRoute):
            index_of = self._links.index_of
            for route in self._config.static_routes:
                if route.track and seen.is_of(route, index_of):
                    self._restore_route(route)
            return
        for rule in self._config.static_rules:
            if rule.track and seen.is_of(rule):
                self._restore_rule(rule)

    def _restore_route(self, route: Route) -> None:
        if not self._links.is_up(route.device):
            self._down.add(route.device)  # it comes back with its interface
            return
        logger.info("static %s was removed by somebody else, putting it back", route_text(route))
        self._apply([add_route(route, self._links.index_of)])

    def _restore_rule(self, rule: Rule) -> None:
        logger.info("static rule %d was removed by somebody else, putting it back", rule.priority)
        self._apply([add_rule(rule)])

    def restore_missing(self, there: Iterable[Seen]) -> None:
        """Put back what is not among the routes and rules that are there."""
        present = list(there)
        routes = [seen for seen in present if isinstance(seen, SeenRoute)]
        rules = [seen for seen in present if not isinstance(seen, SeenRoute)]
        for route in self._config.static_routes:
            if route.track and not any(s.is_of(route, self._links.index_of) for s in routes):
                self._restore_route(route)
        for rule in self._config.static_rules:
            if rule.track and not any(s.is_of(rule) for s in rules):
                self._restore_rule(rule)

    def link_changed(self, name: str) -> None:
        """Put back what the kernel has removed with an interface that was down."""
        if not self._links.is_up(name):
            self._down.add(name)
            return
        if name not in self._down:
            return
        self._down.discard(name)
        index, config = self._links.index_of(name), self._config
        requests = [
            add_address(address, index)
            for address in config.static_addresses
            if address.track and _device(config, address) == name
        ]
        requests += [
            add_route(route, self._links.index_of)
            for route in config.static_routes
            if route.track and route.device == name
        ]
        self._apply(requests)


def _device(config: VrrpConfig, address: Address) -> str:
    return address.device or config.settings.default_interface
