"""The web server that wrk asks: nginx with a worker for each core, a small page, no log."""

from __future__ import annotations

from bench.subjects.base import WEB
from netns.build import Net
from netns.web import wait_for_listener

PAGE = "x" * 512
CONFIGURATION = f"""user root;
worker_processes auto;
daemon off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 10000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {WEB} backlog=4096;
        listen [::]:{WEB} backlog=4096;
        default_type text/plain;
        return 200 "{PAGE}\\n";
    }}
}}
"""


def start_website(net: Net, host: str) -> None:
    """Start it in a host and wait until it listens."""
    directory = net.scratch / f"{host}-website"
    directory.mkdir()
    path = directory / "nginx.conf"
    path.write_text(CONFIGURATION)
    words = ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(path)]
    wait_for_listener(net, host, WEB, net.start(host, words, "website"))
