"""TLS around a conversation, over the standard library's OpenSSL, still sans-IO.

As keepalived does, a check trusts any certificate: it asks whether a server works, not who it is.
"""

from __future__ import annotations

import ssl

from lbfast.check.base import Conversation, Result, failure
from lbfast.errors import ConfigError
from lbfast.model.check import TlsFiles

_CHUNK = 1 << 16
_LEGACY_SERVER_CONNECT = 0x4  # SSL_OP_LEGACY_SERVER_CONNECT; has a name from Python 3.12 on


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """Returns what all TLS checks share: client credentials, no verification, old servers too.

    ConfigError where a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= _LEGACY_SERVER_CONNECT
    try:
        if files.ca:
            context.load_verify_locations(files.ca)
        if files.certificate:
            key = files.key or files.certificate
            context.load_cert_chain(files.certificate, key, files.password or None)
    except (OSError, ssl.SSLError) as wrong:
        raise ConfigError(f"SSL: {wrong}; expected PEM files and the key's password") from wrong
    return context


class TlsConversation:
    """Encrypts what the inner conversation says and decrypts what it hears."""

    __slots__ = ("_incoming", "_inner", "_is_compliant", "_is_open", "_outgoing", "_tls")

    def __init__(
        self, context: ssl.SSLContext, name: str, inner: Conversation, *, is_compliant: bool
    ) -> None:
        """`name` is sent as server name unless empty; compliant: a missing close is a failure."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        self._inner = inner
        self._is_compliant = is_compliant
        self._is_open = False

    def connected(self) -> bytes | Result:
        return self._step()

    def received(self, data: bytes) -> bytes | Result:
        self._incoming.write(data)
        return self._step()

    def closed(self) -> Result:
        if not self._is_open:
            return failure("closed during the TLS handshake")
        if self._is_compliant:
            return failure("closed without the end that TLS prescribes")
        return self._inner.closed()

    def _step(self) -> bytes | Result:
        try:
            result = self._read() if self._is_open else self._shake_hands()
        except ssl.SSLWantReadError:
            result = None
        except ssl.SSLError as wrong:
            return failure(f"TLS: {wrong.reason or wrong}")
        return self._outgoing.read() if result is None else result

    def _shake_hands(self) -> Result | None:
        self._tls.do_handshake()
        self._is_open = True
        said = self._say(self._inner.connected())
        return said if said is not None else self._read()

    def _read(self) -> Result | None:
        """Hands on all that can be decrypted; ends by SSLWantReadError or a verdict."""
        while True:
            data = self._tls.read(_CHUNK)
            if not data:  # the end that TLS prescribes
                return self._inner.closed()
            said = self._say(self._inner.received(data))
            if said is not None:
                return said

    def _say(self, step: bytes | Result) -> Result | None:
        if isinstance(step, Result):
            return step
        if step:
            self._tls.write(step)
        return None
