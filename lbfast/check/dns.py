"""DNS_CHECK: one query over UDP; dnspython writes the query and reads the answer (spec 3.3)."""

from __future__ import annotations

import os

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.errors import ConfigError

_ID = 2  # bytes


def query(name: str, record: str) -> bytes:
    """Returns a query with recursion desired; its first two bytes are to be replaced by an id.

    ConfigError for a name or a type that DNS does not know.
    """
    try:
        return dns.message.make_query(name, record, use_edns=False).to_wire()
    except (dns.exception.DNSException, ValueError) as wrong:
        raise ConfigError(
            f"DNS_CHECK: no query for {name!r} of type {record!r}: {wrong}"
        ) from wrong


class DnsExchange:
    """One query with an id of its own; an answer with another id is not the answer."""

    __slots__ = ("request",)
    blames_server = False

    def __init__(self, template: bytes) -> None:
        self.request = os.urandom(_ID) + template[_ID:]

    def received(self, data: bytes) -> Result | None:
        if data[:_ID] != self.request[:_ID] and len(data) >= _ID:
            return None
        try:
            answer = dns.message.from_wire(data, ignore_trailing=True, continue_on_error=True)
        except (dns.exception.DNSException, ValueError) as wrong:
            return failure(f"malformed answer: {wrong}")
        if not answer.flags & dns.flags.QR:
            return failure("malformed answer: it is a query")
        if answer.rcode() != dns.rcode.NOERROR:
            return failure(f"answer with code {dns.rcode.to_text(answer.rcode())}")
        return SUCCESS

    def timed_out(self) -> Result:
        return failure("no answer in time")
