from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.keys.file import KeyExposedError, KeyMissingError
from taskbound.adapters.keys.openbao import BaoClient, OpenBaoTokenKeys, parse_bao_address
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import TokenKeyGoneError, TokenKeyWeakError
from taskbound.wire.jose import parse_jwks
from tests.peers.certificates import certificate
from tests.peers.openbao import Bao
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = count()


def client_of(bao: Bao, address: str = "", **more: Any) -> BaoClient:
    return BaoClient(parse_bao_address(address or bao.address), token=bao.token, **more)


@pytest.fixture
def prefix() -> str:
    return f"p{next(NUMBERS)}"


@pytest.fixture
def store(bao: Bao, prefix: str) -> OpenBaoTokenKeys:
    return OpenBaoTokenKeys(client_of(bao), prefix=prefix)


def only(bao: Bao, prefix: str) -> str:
    """The one key of transit with this prefix."""
    (name,) = (
        one
        for one in bao.ask("GET", "transit/keys?list=true")["data"]["keys"]
        if one.startswith(f"{prefix}-")
    )
    return str(name)


def test_the_key_is_made_so_that_nobody_can_take_it_out(
    bao: Bao, store: OpenBaoTokenKeys, prefix: str
) -> None:
    store.make()
    said = bao.ask("GET", f"transit/keys/{only(bao, prefix)}")["data"]
    assert (said["type"], said["exportable"], said["allow_plaintext_backup"], said["derived"]) == (
        "ecdsa-p256",
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    "flags",
    [
        {"exportable": True},
        {"allow_plaintext_backup": True},
        {"type": "ecdsa-p384"},
        {"type": "ed25519"},
        {"type": "ed25519", "derived": True},
        {"type": "aes256-gcm96"},
    ],
)
def test_a_key_that_could_leave_the_server_or_is_of_another_kind_is_refused(
    bao: Bao, store: OpenBaoTokenKeys, prefix: str, flags: dict[str, Any]
) -> None:
    bao.ask("POST", f"transit/keys/{prefix}-planted", {"type": "ecdsa-p256", **flags})
    with pytest.raises(TokenKeyWeakError):
        store.open("A" * 43)
    with pytest.raises(TokenKeyWeakError):
        store.kids()


def test_a_key_made_exportable_later_is_refused(bao: Bao, store: OpenBaoTokenKeys, prefix: str) -> None:
    made = store.make()
    bao.ask("POST", f"transit/keys/{only(bao, prefix)}/config", {"exportable": True})
    with pytest.raises(TokenKeyWeakError):
        store.open(made.kid)


def test_each_version_is_a_key_of_its_own_and_signs_for_itself(
    bao: Bao, store: OpenBaoTokenKeys, prefix: str
) -> None:
    first = store.make()
    bao.ask("POST", f"transit/keys/{only(bao, prefix)}/rotate", {})
    (second,) = set(store.kids()) - {first.kid}
    newer = store.open(second)
    assert newer.public != first.public
    for key in (first, newer, store.open(first.kid)):
        assert len(key.sign(b"x")) == 64  # verified by the key's own public half before it leaves
    with pytest.raises(SignerUnavailableError):
        store.destroy(second)
    store.destroy(first.kid)
    assert store.kids() == (second,)
    with pytest.raises(TokenKeyGoneError):
        first.sign(b"x")
    store.destroy(second)
    assert store.kids() == ()


def test_a_key_of_another_prefix_is_not_ours(bao: Bao, prefix: str) -> None:
    mine, other = (OpenBaoTokenKeys(client_of(bao), prefix=one) for one in (prefix, f"{prefix}x"))
    made = other.make()
    assert mine.kids() == ()
    mine.destroy(made.kid)
    assert other.kids() == (made.kid,)


def test_a_key_that_was_deleted_there_is_gone(bao: Bao, store: OpenBaoTokenKeys, prefix: str) -> None:
    made = store.make()
    at = f"transit/keys/{only(bao, prefix)}"
    bao.ask("POST", f"{at}/config", {"deletion_allowed": True})
    bao.ask("DELETE", at)
    with pytest.raises(TokenKeyGoneError):
        made.sign(b"x")


def test_a_sealed_server_is_said_and_is_used_again_once_it_is_unsealed(
    bao: Bao, store: OpenBaoTokenKeys
) -> None:
    made = store.make()
    bao.seal()
    try:
        for act in (lambda: made.sign(b"x"), store.make, store.kids, lambda: store.destroy(made.kid)):
            with pytest.raises(SignerUnavailableError) as caught:
                act()
            assert "sealed" in caught.value.message
            assert not isinstance(caught.value, TokenKeyGoneError)
    finally:
        bao.unseal()
    assert len(made.sign(b"x")) == 64


def test_a_token_that_is_refused_is_said_and_is_in_no_error(bao: Bao, store: OpenBaoTokenKeys) -> None:
    made = store.make()
    bao.write_token("not-a-token-of-this-server")
    try:
        with pytest.raises(SignerUnavailableError) as caught:
            made.sign(b"x")
        assert "refuses the token" in caught.value.message
        assert "not-a-token" not in f"{caught.value.message}{caught.value.advice}{caught.value!r}"
        bao.write_token(bao.root, mode=0o644)
        with pytest.raises(KeyExposedError):
            made.sign(b"x")
        bao.token.unlink()
        with pytest.raises(KeyMissingError):
            made.sign(b"x")
    finally:
        bao.write_token(bao.root)
    assert len(made.sign(b"x")) == 64  # the file is read anew


def test_the_policy_of_the_guide_is_enough_and_gives_no_more(bao: Bao) -> None:
    policy = """
    path "transit/keys" { capabilities = ["list"] }
    path "transit/keys/taskbound-*" { capabilities = ["create", "read", "update", "delete"] }
    path "transit/sign/taskbound-*" { capabilities = ["update"] }
    """
    bao.write_token(bao.token_for(policy))
    try:
        store = OpenBaoTokenKeys(client_of(bao))
        made = store.make()
        assert len(made.sign(b"x")) == 64
        store.destroy(made.kid)
        with pytest.raises(SignerUnavailableError):
            OpenBaoTokenKeys(client_of(bao), prefix="another").make()
    finally:
        bao.write_token(bao.root)


def test_a_server_that_is_away_or_a_mount_that_is_another_is_said(bao: Bao) -> None:
    with pytest.raises(SignerUnavailableError):
        OpenBaoTokenKeys(client_of(bao, f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(SignerUnavailableError):
        OpenBaoTokenKeys(client_of(bao), mount="elsewhere")
    for word in ("", "a/b", "../sys", "A", "a b"):
        with pytest.raises(SignerUnavailableError):
            OpenBaoTokenKeys(client_of(bao), mount=word)
        with pytest.raises(SignerUnavailableError):
            OpenBaoTokenKeys(client_of(bao), prefix=word)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://keys.example.com:8200",
        "http://localhost:8200",
        "http://[2001:db8::1]:8200",
        "ftp://127.0.0.1",
        "https://",
        "https://ann@keys.example.com",
        "https://keys.example.com/v1",
        "https://keys.example.com?a",
        "https://keys.example.com:x",
        "https://[::1",
        "127.0.0.1:8200",
    ],
)
def test_an_address_is_https_or_this_machines_own_loopback(address: str) -> None:
    with pytest.raises(SignerUnavailableError):
        parse_bao_address(address)


def test_an_address_is_read_whole() -> None:
    got = parse_bao_address("https://keys.example.com")
    assert (got.host, got.port, got.tls) == ("keys.example.com", 8_200, True)
    got = parse_bao_address("http://[::1]:1234/")
    assert (got.host, got.port, got.tls) == ("::1", 1_234, False)


# --- TLS ----------------------------------------------------------------------------------------------------


def test_the_server_is_who_its_authority_says(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, name="other")
    bao = Bao(tmp_path, certificate=chain, key=key)
    try:
        assert OpenBaoTokenKeys(client_of(bao, authorities=chain)).make().sign(b"x")
        for authorities in (other, None):
            with pytest.raises(SignerUnavailableError) as caught:
                OpenBaoTokenKeys(client_of(bao, authorities=authorities))
            assert "SSLCertVerificationError" in caught.value.message
        with pytest.raises(SignerUnavailableError):
            client_of(bao, authorities=tmp_path / "none.pem")
    finally:
        bao.end()


def test_a_certificate_for_another_address_is_not_the_servers(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, address="127.0.0.2")
    listener = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listener.load_cert_chain(chain, key)
    token = tmp_path / "token"
    token.write_text("t\n", encoding="ascii")
    token.chmod(0o600)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve() -> None:
            connection, _ = plain.accept()
            with connection, suppress(OSError), listener.wrap_socket(connection, server_side=True) as wrapped:
                heard.append(wrapped.recv(65_536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = parse_bao_address(f"https://127.0.0.1:{plain.getsockname()[1]}")
        with pytest.raises(SignerUnavailableError):
            OpenBaoTokenKeys(BaoClient(address, token=token, authorities=chain))
        thread.join(20)
    assert heard in ([], [b""]), "the token was sent"


# --- servers that are none ----------------------------------------------------------------------------------


@contextmanager
def answering(*parts: bytes, hold: bool = False) -> Iterator[str]:
    """A server that says this to whatever it is asked, and then closes, or holds on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    for part in parts:
                        connection.sendall(part)
                    if hold:
                        over.wait(20)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


def head(status: str, body: bytes, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (head("200 OK", b"<html>"), "not one of an OpenBao"),
        (head("200 OK", b'{"data":{},"data":{}}'), "not one of an OpenBao"),
        (head("200 OK", b"x" * 1_048_577), "too long"),
        (head("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"), "status 307"),
        (head("500 No", b""), "status 500"),
        (head("429 Busy", b""), "too much to do"),
        (head("404 No", b'{"errors":["no handler for route"]}'), "the mount"),
        (b"SSH-2.0-OpenSSH\r\n", "can't be reached"),
        (b"", "can't be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "can't be reached"),
        (head("200 OK", b""), "not one of an OpenBao"),
    ],
)
def test_what_is_no_answer_is_one_error(bao: Bao, said: bytes, why: str) -> None:
    with answering(said) as address, pytest.raises(SignerUnavailableError) as caught:
        OpenBaoTokenKeys(client_of(bao, address))
    assert why in caught.value.message
    assert bao.root not in f"{caught.value.message}{caught.value.advice}"


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_that(bao: Bao) -> None:
    with answering(hold=True) as address, pytest.raises(SignerUnavailableError):
        OpenBaoTokenKeys(client_of(bao, address, patience=0.2))


def test_a_server_that_drips_is_waited_for_no_longer_than_that(bao: Bao) -> None:
    # Each line comes well within the socket's own time; all of them take longer than the request may.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cut = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not cut.wait(0.05):
                    try:
                        connection.sendall(b"X-More: 1\r\n")
                    except OSError:
                        cut.set()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(SignerUnavailableError) as caught:
            OpenBaoTokenKeys(client_of(bao, f"http://127.0.0.1:{listener.getsockname()[1]}", patience=0.4))
        assert "in time (TimeoutError)" in caught.value.message
        assert cut.wait(20), "the connection was cut"
        thread.join(20)


def forged(signature: str, store: OpenBaoTokenKeys, monkeypatch: pytest.MonkeyPatch) -> str:
    made = store.make()
    real = BaoClient.ask

    def ask(self: BaoClient, method: str, path: str, *rest: Any, **more: Any) -> dict[str, Any]:
        return {"signature": signature} if "/sign/" in path else real(self, method, path, *rest, **more)

    monkeypatch.setattr(BaoClient, "ask", ask)
    with pytest.raises(SignerUnavailableError) as caught:
        made.sign(b"x")
    return caught.value.message


@pytest.mark.parametrize(
    "signature",
    ["", "vault:v1:", "vault:v2:" + "A" * 86, "vault:v1:" + "A" * 86, "vault:v1:" + "A" * 87, "x"],
)
def test_what_is_no_signature_of_the_key_never_leaves(
    store: OpenBaoTokenKeys, monkeypatch: pytest.MonkeyPatch, signature: str
) -> None:
    assert "signature" in forged(signature, store, monkeypatch)


def test_the_public_half_is_the_servers(bao: Bao, store: OpenBaoTokenKeys, prefix: str) -> None:
    made = store.make()
    (jwk,) = parse_jwks(made.public)
    assert jwk.thumbprint == made.kid
    said = bao.ask("GET", f"transit/keys/{only(bao, prefix)}")["data"]["keys"]["1"]
    assert "PUBLIC KEY" in json.dumps(said)
