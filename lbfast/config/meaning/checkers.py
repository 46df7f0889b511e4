"""Checker blocks: from what is written to values of the model (spec 2.12)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from lbfast.config.blocks import Draft
from lbfast.config.meaning.context import Context
from lbfast.config.meaning.tracking import Trackers
from lbfast.model.check import (
    BfdCheck,
    Checker,
    DnsCheck,
    Endpoint,
    FileCheck,
    HttpCheck,
    MiscCheck,
    PingCheck,
    Regex,
    Reply,
    SmtpCheck,
    TcpCheck,
    Timing,
    UdpCheck,
    Url,
)

_TIMING = tuple(field.name for field in dataclasses.fields(Timing))
_ENDPOINT = tuple(field.name for field in dataclasses.fields(Endpoint))


def timing(draft: Draft) -> Timing:
    """Returns what a block says about times; the rest is inherited later."""
    return Timing(**{name: draft.get(name) for name in _TIMING})


def _given(draft: Draft, *names: str) -> dict[str, Any]:
    return {name: draft.get(name) for name in names if name in draft}


def _common(draft: Draft) -> dict[str, Any]:
    return {"timing": timing(draft), **_given(draft, "log_all_failures")}


def _is_link_local(addr: bytes) -> bool:
    return len(addr) == 16 and addr[0] == 0xFE and addr[1] & 0xC0 == 0x80


def _network(context: Context, draft: Draft) -> dict[str, Any]:
    """Returns what network checks have; the target is the real server's unless connect_ip is."""
    given = _given(draft, *_ENDPOINT)
    target = given.get("connect_ip") or draft.get("target", b"")
    if _is_link_local(target) and "bind_if" not in given:
        context.findings.error(
            draft.at("connect_ip"), "link-local address without bind_if", "expected it"
        )
    if target and given.get("bindto") and len(given["bindto"]) != len(target):
        context.findings.error(draft.at("bindto"), "bindto of another family", "ignored")
        del given["bindto"]
    return {**_common(draft), "endpoint": Endpoint(**given)}


def _url(context: Context, draft: Draft) -> Url | None:
    if not draft.get("path"):
        context.findings.error(draft.place, "url without path", "removed")
        return None
    regex = None
    if "regex" in draft:
        low, high = draft.get("regex_min_offset", 0), draft.get("regex_max_offset")
        if high is not None and high < low:
            context.findings.error(
                draft.at("regex_max_offset"), f"regex_max_offset {high} below {low}", "ignored"
            )
            high = None
        regex = Regex(
            draft.get("regex"),
            draft.get("regex_no_match", False),
            draft.get("regex_options", frozenset()),
            low,
            high,
        )
    else:
        for name in ("regex_no_match", "regex_options", "regex_min_offset", "regex_max_offset"):
            if name in draft:
                context.findings.note(draft.at(name), f"{name} without regex", "no effect")
    codes = draft.get("status_codes") or ((200, 299),)
    return Url(
        draft.get("path"), draft.get("digest", b""), codes, draft.get("virtualhost", ""), regex
    )


def _http(context: Context, draft: Draft) -> list[Checker]:
    urls = [url for inner in draft.get("urls", []) if (url := _url(context, inner))]
    if not urls:
        context.findings.error(draft.place, f"{draft.get('kind')} without url", "removed")
        return []
    fields = _given(
        draft, "virtualhost", "http_protocol", "fast_recovery", "enable_sni", "sni_name",
        "tls_compliant",
    )  # fmt: skip
    is_ssl = draft.get("kind") == "SSL_GET"
    return [
        HttpCheck(
            urls=tuple(urls),
            is_ssl=is_ssl,
            **_network(context, draft),
            **fields,
        )
    ]


def _smtp(context: Context, draft: Draft) -> list[Checker]:
    """Returns a check for each host, and one for the block if it says where, or has no host.

    A host has the block's times, but nothing of where the block connects to.
    """
    fields = {**_network(context, draft), **_given(draft, "helo_name")}
    hosts: list[Draft] = draft.get("hosts", [])
    is_own = not hosts or any(name in draft for name in (*_ENDPOINT, "connect_timeout_s"))
    found: list[Checker] = [SmtpCheck(**fields)] if is_own else []
    for host in hosts:
        host.values["target"] = draft.get("target")
        endpoint = _network(context, host)["endpoint"]
        times = dataclasses.replace(fields["timing"], **_given(host, "connect_timeout_s"))
        found.append(SmtpCheck(**{**fields, "endpoint": endpoint, "timing": times}))
    return found


def _misc(context: Context, draft: Draft) -> list[Checker]:
    if "script" not in draft:
        context.findings.error(draft.place, "MISC_CHECK without misc_path", "removed")
        return []
    script = context.script(draft.get("script"), draft.get("user", ("", "")))
    if script is None:
        return []
    timeout = draft.get("timeout_s") or None
    return [
        MiscCheck(
            script=script,
            timeout_s=timeout,
            is_dynamic=draft.get("is_dynamic", False),
            **_common(draft),
        )
    ]


def _udp(context: Context, draft: Draft) -> list[Checker]:
    reply = None
    low, high = draft.get("min_length", 0), draft.get("max_length", 255)
    if "reply" in draft:
        value, mask = draft.get("reply")
        reply = Reply(value, mask, low, high)
    return [
        UdpCheck(
            payload=draft.get("payload"),
            reply=reply,
            **_network(context, draft),
        )
    ]


def _is_known(context: Context, draft: Draft, kind: str, among: str, field: str) -> bool:
    """Returns whether what a check names comes before it; says so if not."""
    known: Trackers = draft.get("trackers")
    name = draft.get(field)
    if name in getattr(known, among) and known.precedes(kind, name, draft):
        return True
    context.findings.error(
        draft.at(field), f"{draft.get('kind')}: {name} not found further up", "expected it there"
    )
    return False


def _file(context: Context, draft: Draft) -> list[Checker]:
    name = draft.get("track_file")
    if name is None:
        context.findings.error(draft.place, "FILE_CHECK without track_file", "removed")
        return []
    if not _is_known(context, draft, "files", "files", "track_file"):
        return []
    return [FileCheck(track_file=name, **_given(draft, "weight", "reverse"))]


def _bfd(context: Context, draft: Draft) -> list[Checker]:
    if not draft.get("name"):
        context.findings.error(draft.place, "BFD_CHECK without name", "removed")
        return []
    if not _is_known(context, draft, "bfds", "check_bfds", "name"):
        return []
    return [BfdCheck(name=draft.get("name"), **_common(draft))]


_KINDS: Mapping[str, Callable[[Context, Draft], list[Checker]]] = {
    "TCP_CHECK": lambda context, draft: [TcpCheck(**_network(context, draft))],
    "PING_CHECK": lambda context, draft: [PingCheck(**_network(context, draft))],
    "HTTP_GET": _http,
    "SSL_GET": _http,
    "SMTP_CHECK": _smtp,
    "MISC_CHECK": _misc,
    "DNS_CHECK": lambda context, draft: [
        DnsCheck(**_network(context, draft), **_given(draft, "type", "name"))
    ],
    "UDP_CHECK": _udp,
    "FILE_CHECK": _file,
    "BFD_CHECK": _bfd,
}


def checkers(
    context: Context, drafts: list[Draft], target: bytes, known: Trackers
) -> tuple[Checker, ...]:
    """Returns the checkers of the real server at `target` that can run."""
    for draft in drafts:
        draft.values |= {"target": target, "trackers": known}
    return tuple(made for draft in drafts for made in _KINDS[draft.get("kind")](context, draft))
