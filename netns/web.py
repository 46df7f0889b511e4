"""A real web server in a host: nginx, with a page that tells who asked whom."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from netns.build import Net
from netns.process import Process
from netns.wait import wait_for

CONFIGURATION = """\
user root;
worker_processes 1;
daemon off;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log access.log;
    sendfile on;
    client_max_body_size 0;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {port};
        listen [::]:{port};
        location = / {{
            default_type text/plain;
            return 200 "{host} $remote_addr $remote_port $server_addr $server_port\\n";
        }}
        location /files/ {{ alias {files}/; }}
        location /testurl {{ root {files}; }}
        location /upload/ {{
            alias {directory}/upload/;
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says: the server's host, who it thinks asked, and what it was asked as."""

    host: str
    client: str
    client_port: int
    server: str
    server_port: int


def parse_answer(text: str) -> Answer:
    """Return what a page says; ValueError if it is none of ours."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"not a page of ours: {text[:80]!r}")
    host, client, client_port, server, server_port = fields
    return Answer(host, client, int(client_port), server, int(server_port))


@dataclass(frozen=True, slots=True)
class WebServer:
    """A running nginx; what was uploaded is in `uploads`."""

    process: Process
    directory: Path

    @property
    def uploads(self) -> Path:
        return self.directory / "upload"


def start_web(net: Net, host: str, port: int = 80, files: Path | None = None) -> WebServer:
    """Start nginx in a host and wait until it listens; `files` are served under /files/,
    and what begins with testurl in there under its own path.

    FileNotFoundError in one sentence if there is no nginx.
    """
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise FileNotFoundError("nginx is not installed: apt-get install nginx-light")
    directory = net.scratch / f"{host}-nginx-{port}"
    (directory / "upload").mkdir(parents=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=host, port=port, directory=directory, files=files or directory / "files"
        )
    )
    argv = [nginx, "-e", "stderr", "-p", str(directory), "-c", str(configuration)]
    process = net.start(host, argv, f"nginx-{port}")
    wait_for_listener(net, host, port, process)
    return WebServer(process, directory)


def wait_for_listener(net: Net, host: str, port: int, process: Process | None = None) -> None:
    """Wait until something listens on a TCP port of a host."""

    def listens() -> bool:
        if process is not None and not process.alive():
            raise RuntimeError(f"{host}: {process.argv[-1]}: {process.stderr()[-500:]}")
        return bool(net.run(host, ["ss", "-Htln", f"sport = :{port}"]).stdout)

    wait_for(listens, 15, f"a listener on port {port} of {host}")
