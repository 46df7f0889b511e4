"""Statements that name a program: the words of the command, and who runs it (spec 1.4)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from lbfast.config.blocks import Draft, Loader
from lbfast.config.findings import Place
from lbfast.config.values import Missing, Statement
from lbfast.config.words import split_script


@dataclass(frozen=True, slots=True)
class ScriptDraft:
    """A program as it was written; nobody has looked for it yet."""

    keyword: str
    place: Place
    argv: tuple[str, ...]
    user: str = ""
    group: str = ""


def script(given: Statement) -> ScriptDraft:
    """Reads `KEYWORD COMMAND [USER [GROUP]]`; the command is split into words once more."""
    words = given.script_words()
    if len(words) < 2:
        raise Missing(2)
    user, group = ([*words[2:4], "", ""])[:2]
    return ScriptDraft(given.keyword, given.place, tuple(split_script(words[1])), user, group)


def optional_script(given: Statement) -> ScriptDraft | None:
    """Reads a script; None where the statement names none."""
    return script(given) if len(given.script_words()) > 1 else None


def checking_script(loader: Loader, draft: Draft, given: Statement) -> None:
    """Takes the program of a vrrp_script or MISC_CHECK: who runs it is said by `user` alone."""
    found = optional_script(given)
    if found is None:
        return  # a statement without one says nothing
    if found.user:
        loader.findings.note(
            given.place, f"{given.keyword}: {found.user!r} behind the command has no effect",
            "expected the account in `user`",
        )  # fmt: skip
    draft.put("script", dataclasses.replace(found, user="", group=""), given.place)


def account(given: Statement) -> tuple[str, str]:
    """Reads USER [GROUP]."""
    user = given.word()
    return user, given.words[2] if len(given.words) > 2 else ""
