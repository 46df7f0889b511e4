"""A host in memory, for reading configurations in tests."""

from __future__ import annotations

import dataclasses
import fnmatch
from dataclasses import dataclass, field

from lbfast.config.load import Loaded, load

MAIN = "/etc/keepalived/keepalived.conf"


@dataclass
class MemoryHost:
    """Implements `lbfast.config.host.Host` over dictionaries."""

    files: dict[str, str] = field(default_factory=dict)
    interfaces: frozenset[str] = frozenset(("lo", "eth0", "eth1"))
    programs: dict[str, str] = field(default_factory=lambda: {"true": "/bin/true"})
    insecure: frozenset[str] = frozenset()
    not_executable: frozenset[str] = frozenset()
    flaws: dict[str, str] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset(("root", "daemon"))
    name: str = "node1.example.org"
    variables: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, frozenset[str]] = field(default_factory=dict)  # interfaces of each
    unknown_hosts: frozenset[str] = frozenset()

    def read_lines(self, path: str) -> list[str]:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path].split("\n")

    def glob(self, pattern: str) -> list[str]:
        return sorted(path for path in self.files if fnmatch.fnmatch(path, pattern))

    def is_plain_file(self, path: str) -> bool:
        return path in self.files

    def has_interface(self, name: str) -> bool:
        return name in self.interfaces

    def within(self, namespace: str) -> MemoryHost:
        if namespace not in self.namespaces:
            raise FileNotFoundError(2, "No such file or directory", namespace)
        return dataclasses.replace(self, interfaces=self.namespaces[namespace])

    def find_program(self, word: str) -> str:
        if "/" in word:
            return word if word in self.programs.values() else ""
        return self.programs.get(word, "")

    def is_executable(self, path: str) -> bool:
        return path not in self.not_executable

    def is_insecure(self, path: str) -> bool:
        return path in self.insecure

    def flaw(self, path: str) -> str:
        return self.flaws.get(path, "")

    def has_account(self, user: str, group: str) -> bool:
        return user in self.accounts and (not group or group in self.accounts)

    def is_root(self, user: str) -> bool:
        return user == "root"

    def network_name(self) -> str:
        return self.name

    def has_address(self, server: str) -> bool:
        return server not in self.unknown_hosts

    def environment(self, name: str) -> str | None:
        return self.variables.get(name)


def read(text: str, host: MemoryHost | None = None, config_id: str = "") -> Loaded:
    """Reads a text as the main file of a host."""
    host = host or MemoryHost()
    host.files[MAIN] = text
    return load(MAIN, host, config_id)


def complaints(loaded: Loaded) -> list[str]:
    """Returns what a check would not let pass, as text."""
    return [str(finding) for finding in loaded.findings if finding.severity]
