from __future__ import annotations

import socket
import ssl
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.apart import ApartOperands
from taskbound.adapters.approval.apart.http import page_version
from taskbound.core.approval import Lookup, OperandUnreadableError, parse_probe
from taskbound.core.approval.probe import PageRoot, parse_root
from taskbound.core.scope.constraints.host import is_public
from taskbound.flows.approval.look import operands_of
from tests.peers.certificates import certificate
from tests.peers.pages import Pages, answer, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def there() -> Iterator[Pages]:
    with pages() as made:
        yield made


def look(there: Pages, page: str = "a") -> dict[str, str]:
    base = parse_root(f"{there.origin}/v1/")
    return page_version(base, base.page(page))


def test_a_page_is_its_url_and_its_strong_etag(there: Pages) -> None:
    assert look(there, "a?x=1") == {"page": f"{there.origin}/v1/a?x=1", "etag": '"v1"'}
    there.says = answer('ETag: "v2"', "Content-Length: 1000000000")
    assert look(there)["etag"] == '"v2"'


def test_it_is_asked_for_by_one_head_that_carries_nothing_of_anybody_s(
    there: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    look(there, "a?x=1")
    (asked,) = there.asked
    assert asked.decode().split("\r\n") == [
        "HEAD /v1/a?x=1 HTTP/1.1",
        f"Host: 127.0.0.1:{there.port}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "User-Agent: taskbound",
        "Connection: close",
        "",
        "",
    ]


HOSTILE = {
    "a weak ETag": answer('ETag: W/"v1"'),
    "no ETag": answer("Last-Modified: Fri, 27 Nov 2026 00:00:00 GMT"),
    "two ETags": answer('ETag: "v1"', 'ETag: "v2"'),
    "one in two lines": answer('ETag: "v1"', ' "v2"'),
    "an ETag without quotes": answer("ETag: v1"),
    "an empty one": answer('ETag: ""'),
    "one with a space": answer('ETag: "a b"'),
    "one that is not ASCII": answer('ETag: "é"'),
    "one that is too long": answer(f'ETag: "{"v" * 513}"'),
    "a header that is none": answer("no colon here", 'ETag: "v1"'),
    "a header behind one that is none": answer('ETag: "v1"', "no colon here", 'ETag: "v2"'),
    "a space before the colon": answer('ETag : "v1"'),
    "another status": answer('ETag: "v1"', status="404 Not Found"),
    "no content": answer('ETag: "v1"', status="204 No Content"),
    "a part": answer('ETag: "v1"', status="206 Partial Content"),
    "a redirect": answer('ETag: "v1"', "Location: http://127.0.0.1:1/", status="302 Found"),
    "a redirect that keeps the method": answer("Location: file:///etc/passwd", status="307 Moved"),
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b'\r\nETag: "v1"\r\n\r\n',
    "a thousand headers": answer(*["X: y"] * 1_000, 'ETag: "v1"'),
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n" * 10,
    "nothing": b"",
    "half an answer": b'HTTP/1.1 200 OK\r\nETag: "v1',
}


@pytest.mark.parametrize("says", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_strong_version_of_this_page_is_refused(there: Pages, says: bytes) -> None:
    there.says = says
    with pytest.raises(OperandUnreadableError):
        look(there)
    assert len(there.asked) == 1, "nobody is asked again, or elsewhere"


def test_a_server_that_answers_a_byte_at_a_time_is_waited_for_no_longer_than_said(there: Pages) -> None:
    there.drip = True
    probe = parse_probe(f"page=etag:{there.origin}/v1/")
    began = monotonic()
    with pytest.raises(OperandUnreadableError):
        operands_of(
            ApartOperands(patience=1.5).see(
                [Lookup(place="/page", probe=probe, value=f"{there.origin}/v1/a", directory="/")]
            )
        )
    assert monotonic() - began < 20  # it would go on for ever


def test_a_name_that_leads_to_this_machine_is_not_followed_there(there: Pages) -> None:
    base = PageRoot(scheme="http", host="localhost", port=there.port, path="/")
    with pytest.raises(OperandUnreadableError, match="not public"):
        page_version(base, base.page("a"))
    assert there.asked == []


def test_what_was_checked_is_what_is_connected_to(there: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        first = "1.1.1.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (first, port))]

    connected: list[object] = []

    def connect(address: tuple[str, int], **_: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    base = PageRoot(scheme="http", host="rebound.example", port=there.port, path="/")
    with pytest.raises(OperandUnreadableError, match="ConnectionRefused"):
        page_version(base, base.page("a"))
    assert (asked, connected) == (["rebound.example"], [("1.1.1.1", there.port)])


def test_a_name_with_a_public_and_another_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    base = PageRoot(scheme="http", host="mixed.example", port=80, path="/")
    with pytest.raises(OperandUnreadableError, match="not public"):
        page_version(base, base.page("a"))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.1",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fd00:ec2::254", "ff02::1",
        "::ffff:1.1.1.1", "::ffff:127.0.0.1", "2002:7f00:1::", "2001:0:1::1", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "fec0::1", "::7f00:1", "::ffff:0:7f00:1", "4000::1",
    ],
)  # fmt: skip  # a list of addresses reads better as one
def test_an_address_that_is_not_everybody_s_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111"])
def test_an_address_that_is_everybody_s_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    with pages(context) as there:
        with pytest.raises(OperandUnreadableError, match="SSLCertVerificationError"):
            look(there)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert look(there)["etag"] == '"v1"'
        probe = parse_probe(f"page=etag:{there.origin}/")
        looks = [Lookup(place="/page", probe=probe, value=f"{there.origin}/a", directory="/")]
        (operand,) = operands_of(ApartOperands().see(looks))
        assert dict(operand.found)["etag"] == '"v1"'
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(OperandUnreadableError, match="SSLCertVerificationError"):
            operands_of(ApartOperands().see(looks))
