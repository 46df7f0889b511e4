"""nginx as a TCP balancer: the stream module, a worker for each core, round robin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.subjects.base import Place, Pool, Subject, endpoint
from netns.web import wait_for_listener

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
HEAD = f"""load_module {MODULE};
user root;
worker_processes auto;
daemon off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 8192; }}
"""


def configuration(pools: Sequence[Pool], ports: Sequence[int]) -> str:
    """Return nginx.conf."""
    parts = []
    for pool in pools:
        for port in ports:
            name = f"v{6 if pool.is_v6 else 4}_{port}"
            servers = "".join(f" server {endpoint(a, port)};" for a in pool.servers)
            parts.append(f"    upstream {name} {{{servers} }}")
            listen = endpoint(pool.vip, port)
            parts.append(f"    server {{ listen {listen}; proxy_pass {name}; }}")
    return HEAD + "stream {\n" + "\n".join(parts) + "\n}\n"


@contextmanager
def _set_up(place: Place) -> Iterator[None]:
    path = place.write("nginx.conf", configuration(place.pools, place.ports))
    process = place.start("nginx", "-e", "stderr", "-p", str(path.parent), "-c", str(path))
    for port in place.ports:
        wait_for_listener(place.net, place.host, port, process)
    yield
    process.stop()


SUBJECTS = (Subject("nginx-stream", "nginx stream", "proxy", _set_up, ("nginx", MODULE)),)
