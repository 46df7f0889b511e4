"""What a configuration refers to on its host; passed in, so that the reading itself is pure."""

from __future__ import annotations

from typing import Protocol


class Host(Protocol):
    """The files, interfaces and accounts of one host."""

    def read_lines(self, path: str) -> list[str]:
        """Returns the lines of a file without their ends; OSError if it cannot be read."""

    def glob(self, pattern: str) -> list[str]:
        """Returns the paths that match a shell pattern without braces, in order."""

    def is_plain_file(self, path: str) -> bool:
        """Returns whether a path is a regular file that nobody may execute."""

    def has_interface(self, name: str) -> bool:
        """Returns whether there is an interface of that name now."""

    def within(self, namespace: str) -> Host:
        """Returns the host with the interfaces of a network namespace; OSError without one."""

    def find_program(self, word: str) -> str:
        """Returns the path of what exists, looked up in PATH for a bare name, or ""."""

    def is_executable(self, path: str) -> bool:
        """Returns whether a path is a file that may be executed."""

    def is_insecure(self, path: str) -> bool:
        """Returns whether somebody other than root can change a file or a directory above."""

    def flaw(self, path: str) -> str:
        """Returns why the kernel would not start an executable file, "" if nothing is seen."""

    def has_account(self, user: str, group: str) -> bool:
        """Returns whether a user exists and, if one is named, the group too."""

    def is_root(self, user: str) -> bool:
        """Returns whether that user has uid 0."""

    def network_name(self) -> str:
        """Returns the host's name."""

    def has_address(self, server: str) -> bool:
        """Returns whether a name or address stands for a host; True where nobody asks now."""

    def environment(self, name: str) -> str | None:
        """Returns an environment variable."""
