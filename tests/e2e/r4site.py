"""The site of recipes R4 and R5: web servers whose pages can be changed, before directors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from netns import recipes_r4 as r4
from netns.build import Net
from netns.wait import wait_for
from netns.web import WebServer, start_web
from tests.e2e.client import fetch
from tests.e2e.director import Director, realserver

WEB4, WEB5 = (f"{r4.HOSTS[name]}:80" for name in r4.WEB)
SORRY = f"{r4.HOSTS['sorry']}:80"
PAGES = ("testurl/test.html", "testurl2/test.html")
STATE_S = 40  # retries, delay_loop and a failover are seconds each


class Site:
    """The web servers, and pages that can be changed."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.web = {name: self._start(name) for name in (*r4.WEB, "sorry")}

    def _start(self, name: str) -> WebServer:
        assert realserver(self.net, name, "add", r4.VIP).returncode == 0
        pages = self.pages(name)
        for page in PAGES:
            (pages / page).parent.mkdir(parents=True)
            (pages / page).touch()
        return start_web(self.net, name, files=pages)

    def pages(self, name: str) -> Path:
        return self.net.scratch / f"{name}-pages"

    def answering(self, count: int = 6) -> Counter[str]:
        """Ask the VIP; return which hosts answered."""
        return Counter(answer.host for answer in fetch(self.net, "client", r4.VIP, count))

    def holds_vip(self, host: str) -> bool:
        return r4.VIP in self.net.run(host, ["ip", "-4", "addr", "show", "dev", "eth1"]).stdout


def write(site: Site, host: str, text: str) -> str:
    path = site.net.scratch / f"{host}.conf"
    path.write_text(text)
    return str(path)


def wait_for_servers(director: Director, *servers: str) -> None:
    wait_for(lambda: set(director.loads()) == set(servers), STATE_S, f"{servers} in the table")
