"""What every part of the meaning needs: the host, the findings, global_defs, and programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

from lbfast.config.blocks import Draft
from lbfast.config.findings import Findings, Place, Severity
from lbfast.config.host import Host
from lbfast.config.keywords.scripts import ScriptDraft
from lbfast.model.script import Script

DEFAULT_ACCOUNT = "keepalived_script"


def _opened(word: str) -> str:
    """Returns the path of `</path`, "" if a word is none: blanks may stand behind the sign."""
    path = word[1:].lstrip(" \t") if word.startswith("<") else ""
    return path if path.startswith("/") else ""


@dataclass(slots=True)
class Context:
    host: Host
    findings: Findings
    globals: Draft
    _names: set[tuple[str, str]] = field(default_factory=set)

    def has_interface(self, name: str) -> bool:
        return self.host.has_interface(name)

    def default(self, name: str, otherwise: object) -> object:
        """Returns what global_defs says."""
        return self.globals.get(name, otherwise)

    @property
    def is_dynamic(self) -> bool:
        return bool(self.globals.get("dynamic_interfaces"))

    @property
    def is_secure(self) -> bool:
        return bool(self.globals.get("enable_script_security"))

    def require_interface(self, name: str, place: Place, what: str) -> None:
        """Refuses a configuration that names an interface which does not exist."""
        if name and not self.is_dynamic and not self.host.has_interface(name):
            self.findings.add(
                Severity.ABSENT,
                place,
                f"{what}: interface {name} does not exist",
                "expected an interface",
            )

    def unique(
        self, kind: str, drafts: Iterable[Draft], severity: Severity = Severity.ERROR
    ) -> Iterable[Draft]:
        """Yields the drafts whose name is new; the others are reported and left out."""
        for draft in drafts:
            name = draft.get("name", "")
            if (kind, name) in self._names:
                self.findings.add(
                    severity, draft.place, f"{kind} {name} again", "the first one holds"
                )
                continue
            self._names.add((kind, name))
            yield draft

    # ---- programs

    def script(
        self,
        draft: ScriptDraft | None,
        user: tuple[str, str] = ("", ""),
        *,
        is_tracked: bool = False,
    ) -> Script | None:
        """Returns the program to run, None if it is disabled; `is_tracked`: of a vrrp_script.

        `user` is the account that its block names; the statement's own words come first.
        """
        if draft is None or not draft.argv:
            return None
        loss = Severity.ERROR if is_tracked else Severity.NOTE
        word, *rest = draft.argv
        if opened := _opened(word):
            return self._opening(draft, opened, user)
        account = self._account(draft, user)
        if account is None:
            return None
        path = self.host.find_program(word)
        if not path:
            self._add(draft, loss, f"{word} not found", "not run")
            return None
        if self._is_root(account[0]) and self.host.is_insecure(path) and self.is_secure:
            self._add(draft, loss, f"{path} can be changed by others than root", "not run")
            return None
        self._violation(draft, account[0])
        if not self.host.is_executable(path):
            self._add(draft, Severity.NOTE, f"{word} cannot be executed", "not run")
            return None
        if flaw := self.host.flaw(path):
            self._add(draft, Severity.NOTE, f"{path} {flaw}", "it will not start")
        return Script((path, *rest), *account)

    def lone_script(self, draft: ScriptDraft | None) -> Script | None:
        """Returns a program of the whole director; its account has to exist, unlike others'."""
        if draft is None:
            return None
        return self.script(
            dataclasses.replace(draft, user="", group=""), (draft.user, draft.group)
        )

    def _opening(self, draft: ScriptDraft, path: str, user: tuple[str, str]) -> Script | None:
        """Returns `</path`: whether the file is there, and who may write it, does not matter."""
        account = self._account(draft, user)
        if account is None:
            return None
        if rest := draft.argv[1:]:
            self._add(
                draft, Severity.NOTE, f"{' '.join(rest)!r} behind {draft.argv[0]} is not run",
                "expected the file alone; it is only opened",
            )  # fmt: skip
        return Script((path,), *account, is_opened=True)

    def _account(self, draft: ScriptDraft, user: tuple[str, str]) -> tuple[str, str] | None:
        """Returns who runs a program, None if nobody can."""
        account = (draft.user, draft.group) if draft.user else user
        if not account[0]:
            account = self.globals.get("script_user", ("", ""))
        if account[0]:
            if self.host.has_account(*account):
                return account
            severity = Severity.NOTE if draft.user else Severity.ERROR
            self._add(draft, severity, f"no account {' '.join(account).strip()}", "not run")
            return None
        if self.host.has_account(DEFAULT_ACCOUNT, ""):
            return (DEFAULT_ACCOUNT, "")
        if self.is_secure:
            found = f"no account {DEFAULT_ACCOUNT}"
            self._add(draft, Severity.ERROR, found, "not run; see script_user")
            return None
        return ("", "")

    def _is_root(self, user: str) -> bool:
        return not user or self.host.is_root(user)

    def _violation(self, draft: ScriptDraft, user: str) -> None:
        if not self.is_secure and self._is_root(user):
            self._add(
                draft,
                Severity.SECURITY,
                f"{draft.argv[0]} runs as root without enable_script_security",
                "expected that, or a script_user",
            )

    def _add(self, draft: ScriptDraft, severity: Severity, found: str, expected: str) -> None:
        self.findings.add(severity, draft.place, f"{draft.keyword}: {found}", expected)
