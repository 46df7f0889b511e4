"""The typed face of the extension; see _fast/engine.pxi for what each method does."""

REASONS: tuple[str, ...]
VERDICTS: tuple[str, ...]
SETTINGS: tuple[str, ...]

Frame = tuple[int, bytes, bytes]

def bench(
    engine: Engine, frames: list[Frame], prepared: int, packets: int, now_ns: int
) -> dict[str, int]: ...

class Engine:
    found: dict[str, int]
    def __init__(
        self,
        *,
        conns: int = 65536,
        dests: int = 16384,
        services: int = 1024,
        workers: int = 1,
        fd: int = -1,
        seed: int = 0,
        boot_id: bytes = b"",
        now_ns: int = 0,
    ) -> None: ...
    @property
    def boot_id(self) -> bytes: ...
    @property
    def table_size(self) -> int: ...
    def link_set(
        self,
        ifindex: int,
        mac: bytes,
        mtu: int,
        flags: int,
        vlan_parent: int = 0,
        vlan_id: int = 0,
    ) -> None: ...
    def link_del(self, ifindex: int) -> None: ...
    def addr_add(self, ifindex: int, addr: bytes, prefixlen: int) -> None: ...
    def addr_del(self, ifindex: int, addr: bytes) -> None: ...
    def route_add(
        self,
        table: int,
        dst: bytes,
        prefixlen: int,
        type: int,
        oif: int,
        gateway: bytes = b"",
        prefsrc: bytes = b"",
        mtu: int = 0,
        metric: int = 0,
    ) -> None: ...
    def route_del(self, table: int, dst: bytes, prefixlen: int, metric: int = 0) -> bool: ...
    def routes_replace(self, routes: list[tuple]) -> None: ...  # type: ignore[type-arg]
    def rules_replace(self, rules: list[tuple]) -> None: ...  # type: ignore[type-arg]
    def marks_replace(self, rules: list[tuple]) -> None: ...  # type: ignore[type-arg]
    def neigh_set(self, ifindex: int, addr: bytes, mac: bytes) -> None: ...
    def neigh_del(self, ifindex: int, addr: bytes) -> None: ...
    def requests(self) -> list[tuple[str, int, bytes]]: ...
    def request_fd(self) -> int: ...
    def service_put(
        self,
        key: tuple[int, int, bytes, int, int],
        scheduler: bytes,
        flags: int,
        timeout_s: int,
        netmask: int,
        pe_name: bytes,
        edit: bool = False,
    ) -> None: ...
    def service_del(self, key: tuple[int, int, bytes, int, int]) -> None: ...
    def server_put(
        self,
        key: tuple[int, int, bytes, int, int],
        server: tuple[int, bytes, int],
        method: int,
        weight: int,
        u_threshold: int,
        l_threshold: int,
        tun_type: int,
        tun_port: int,
        tun_flags: int,
        edit: bool = False,
    ) -> None: ...
    def server_del(
        self, key: tuple[int, int, bytes, int, int], server: tuple[int, bytes, int]
    ) -> None: ...
    def zero(self, key: tuple[int, int, bytes, int, int] | None = None) -> None: ...
    def services(self) -> list[tuple]: ...  # type: ignore[type-arg]
    def service(self, key: tuple[int, int, bytes, int, int]) -> tuple: ...  # type: ignore[type-arg]
    def lingering(self) -> list[tuple]: ...  # type: ignore[type-arg]
    def total(self) -> tuple[int, ...]: ...
    def connections(self, start: int = 0, limit: int = 0xFFFFFFFF) -> tuple[list[tuple], int]: ...  # type: ignore[type-arg]
    def setting(self, name: str) -> int: ...
    def set_setting(self, name: str, value: int) -> None: ...
    def defend(self, available_pages: int) -> None: ...
    def estimate(self) -> None: ...
    def trash(self, now_ns: int) -> None: ...
    def reasons(self) -> dict[str, int]: ...
    def verdicts(self) -> dict[str, int]: ...
    def process(self, frames: list[Frame], now_ns: int) -> list[tuple[int, int, bytes, bytes]]: ...
    def run(self, index: int, rings: Rings) -> None: ...
    def stop(self) -> None: ...
    def restart(self) -> None: ...

class Rings:
    interfaces: list[tuple[str, int]]
    def __init__(
        self,
        interfaces: list[tuple[str, int]],
        program: list[tuple[int, int, int, int]],
        host: dict[int, tuple[str, int, bool]],
        onward: dict[int, int] | None = None,
        fanout: int = -1,
    ) -> None: ...
    def reflect(self, seconds: float) -> None: ...
    def wake(self) -> None: ...
    def stats(self) -> dict[str, tuple[int, int, int, int, int]]: ...
    def close(self) -> None: ...
