"""A program that the configuration names, with the account it runs under (spec 5.3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """A command already split into words; it never passes through a shell.

    `user` and `group` are account names, or empty for the account lbfast itself runs under: the
    configuration has already put `script_user` or `keepalived_script` in their place.
    """

    argv: tuple[str, ...]  # at least the program
    user: str = ""
    group: str = ""
    is_opened: bool = False  # the form `</path`: argv[0] is a file to open, nothing of it runs
