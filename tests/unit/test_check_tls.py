"""SSL_GET: TLS around a conversation, against a server made of the standard library's TLS."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from lbfast.check.base import SUCCESS, Result, failure
from lbfast.check.http import HttpConversation
from lbfast.check.inherit import Schedule
from lbfast.check.kinds import Surroundings, make_attempt
from lbfast.check.tls import TlsConversation, make_context
from lbfast.errors import ConfigError
from lbfast.model.check import Endpoint, HttpCheck, TlsFiles, Url
from tests.checklab import packed

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
PAGE = b"HTTP/1.0 200 OK\r\n\r\nall is well"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key, the key with a password, in one directory."""
    place = tmp_path_factory.mktemp("tls")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=x"
    for name, secret in (("plain", ["-nodes"]), ("secret", ["-passout", "pass:word"])):
        out = ["-keyout", f"{place}/{name}.key", "-out", f"{place}/{name}.crt"]
        subprocess.run([*words.split(), *secret, *out], check=True, capture_output=True)
    return place


class Server:
    """The server's end of a connection, as bytes in and bytes out."""

    def __init__(self, pem: Path, **settings: object) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem / "plain.crt", pem / "plain.key")
        for name, value in settings.items():
            setattr(context, name, value)
        self.names: list[str | None] = []
        context.sni_callback = lambda _, name, __: self.names.append(name)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.heard = b""
        self._is_open = False

    def hear(self, data: bytes) -> bytes:
        """Take bytes; answer a whole request with a page."""
        self.incoming.write(data)
        try:
            if not self._is_open:
                self.tls.do_handshake()
                self._is_open = True
            while True:
                self.heard += self.tls.read(4096)
                if self.heard.endswith(b"\r\n\r\n"):
                    self.tls.write(PAGE)
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def close(self) -> bytes:
        """The end that TLS prescribes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()


def talk(client: TlsConversation, server: Server) -> Result | None:
    """Carry bytes both ways until both are silent; a verdict ends it."""
    step = client.connected()
    while isinstance(step, bytes):
        said = server.hear(step)
        if not said:
            return None
        step = client.received(said)
    return step


def client(name: str = "", *, is_compliant: bool = False) -> TlsConversation:
    inner = HttpConversation(b"GET / HTTP/1.0\r\n\r\n", Url("/"), None)
    return TlsConversation(make_context(TlsFiles()), name, inner, is_compliant=is_compliant)


@pytest.mark.covers("CHK-19")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_self_signed_certificate_is_good_enough(pem: Path, version: ssl.TLSVersion) -> None:
    one, server = client(), Server(pem, maximum_version=version, minimum_version=version)
    assert talk(one, server) is None
    assert server.heard == b"GET / HTTP/1.0\r\n\r\n"
    assert one.received(server.close()) == SUCCESS


def test_name_is_sent_only_if_there_is_one(pem: Path) -> None:
    for name, expected in (("www.example", ["www.example"]), ("", [None])):
        server = Server(pem)
        talk(client(name), server)
        assert server.names == expected


@pytest.mark.parametrize(("is_compliant", "ok"), [(False, True), (True, False)])
def test_end_without_tls_close(pem: Path, is_compliant: bool, ok: bool) -> None:
    one = client(is_compliant=is_compliant)
    talk(one, Server(pem))
    assert one.closed().ok is ok


def test_end_during_the_handshake_fails(pem: Path) -> None:
    one = client()
    one.connected()
    assert one.closed() == failure("closed during the TLS handshake")


def test_what_is_no_tls_fails() -> None:
    one = client()
    one.connected()
    result = one.received(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    assert isinstance(result, Result)
    assert result.ok is False
    assert result.reason.startswith("TLS: ")


def test_client_certificate_is_shown(pem: Path) -> None:
    server = Server(pem, verify_mode=ssl.CERT_REQUIRED)
    server.tls.context.load_verify_locations(pem / "secret.crt")
    files = TlsFiles("word", str(pem / "plain.crt"), str(pem / "secret.crt"), f"{pem}/secret.key")
    inner = HttpConversation(b"GET / HTTP/1.0\r\n\r\n", Url("/"), None)
    talk(TlsConversation(make_context(files), "", inner, is_compliant=False), server)
    shown = server.tls.getpeercert(binary_form=True)
    assert shown == ssl.PEM_cert_to_DER_cert((pem / "secret.crt").read_text())


def test_files_that_cannot_be_used_are_refused(pem: Path) -> None:
    for files in (
        TlsFiles(certificate="/no/such/file"),
        TlsFiles(password="wrong", certificate=f"{pem}/secret.crt", key=f"{pem}/secret.key"),
        TlsFiles(ca="/no/such/file"),
    ):
        with pytest.raises(ConfigError, match="expected PEM files"):
            make_context(files)


@pytest.mark.covers("CHK-19")
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, ""),
        ({"virtualhost": "check"}, ""),
        ({"virtualhost": "check", "enable_sni": True}, "check"),
        ({"urls": (Url("/", virtualhost="url"),), "enable_sni": True}, "url"),
        ({"virtualhost": "check", "enable_sni": True, "sni_name": "own"}, "own"),
    ],
)
def test_sni_name(settings: dict[str, object], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def conversation(context: object, name: str, inner: object, *, is_compliant: bool) -> object:
        seen.append(name)
        return inner

    monkeypatch.setattr("lbfast.check.kinds.TlsConversation", conversation)
    defaults: dict[str, object] = {"urls": (Url("/"),), "is_ssl": True}
    check = HttpCheck(endpoint=Endpoint(packed("10.7.0.11"), 443), **(defaults | settings))  # type: ignore[arg-type]
    attempt = make_attempt(check, Schedule(), Surroundings(None, TlsFiles()))  # type: ignore[arg-type]
    attempt(0, lambda result: None)
    assert seen == [name]
