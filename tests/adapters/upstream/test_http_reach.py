"""Servers behind a URL: where their names lead, who they prove to be, and what of that is pinned."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from msgspec import structs

from taskbound.adapters.upstream.mcp.errors import ServerChangedError, StartFailedError
from taskbound.adapters.upstream.mcp.http.connect import Dialer, key_hash
from taskbound.adapters.upstream.mcp.http.errors import NotReachedError
from taskbound.adapters.upstream.mcp.http.probe import pin_url, probe
from taskbound.adapters.upstream.mcp.http.server import HttpStarter
from taskbound.adapters.upstream.mcp.server import StepTimeouts
from taskbound.core.tool.identity import Remote
from taskbound.ports.upstream import Answered, NotSent
from taskbound.wire.tool import ServerSpec
from tests.adapters.upstream.reaching import QUICK, Events, answered, reach
from tests.peers.rawhttp import Authority, RawHttp

pytestmark = pytest.mark.anyio
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.7"


def spec_of(there: RawHttp, authority: Authority | None, *, key: str = "") -> ServerSpec:
    file = str(authority.file) if authority is not None else ""
    return structs.replace(pin_url("x", there.url, headers={}, key=key, authorities=file), era="2025-11-25")


async def refusal(spec: ServerSpec) -> str:
    with pytest.raises(StartFailedError) as caught:
        await reach(spec, Events(), era="2025-11-25")
    return caught.value.message


async def test_a_server_that_the_pinned_authority_certifies_is_reached(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, _ = authority.context()
    async with RawHttp(context=context) as there:
        server = await reach(spec_of(there, authority), Events(), era="2025-11-25")
        assert isinstance(await answered(server), Answered)
        await server.close()
        await there.until(lambda: there.open == 0)


@pytest.mark.parametrize("wrong", ["authority", "host", "time", "none pinned"])
async def test_a_server_that_does_not_prove_who_it_is_is_sent_nothing(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Authority(tmp_path), Authority(tmp_path)
    signing = mine if wrong == "authority" else other
    host, days = "127.0.0.2" if wrong == "host" else "127.0.0.1", -1.0 if wrong == "time" else 1.0
    context, _ = signing.context(host, days=days)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # the agent's client has no say in it
        monkeypatch.setenv(name, str(other.file))
    async with RawHttp(context=context) as there:
        words = await refusal(spec_of(there, None if wrong == "none pinned" else other))
        assert "does not prove who it is" in words
        assert there.asked == []


async def test_only_the_pinned_key_is_believed_and_another_is_sent_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, certificate = authority.context()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public = certificate.public_key().public_bytes(serialization.Encoding.DER, info)
    key = sha256(public).hexdigest()
    assert key_hash(certificate.public_bytes(serialization.Encoding.DER)) == key
    async with RawHttp(context=context) as there:
        found = await probe(spec_of(there, authority), patience=QUICK)
        assert key in found.notes[0]
        server = await reach(spec_of(there, authority, key=key.upper()), Events(), era="2025-11-25")
        await server.close()
        there.asked.clear()
        words = await refusal(spec_of(there, authority, key="0" * 64))
        assert key in words
        assert there.asked == []


async def test_another_file_of_authorities_than_the_pinned_one_is_not_believed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, _ = authority.context()
    async with RawHttp(context=context) as there:
        spec = spec_of(there, authority)
        authority.file.write_bytes(authority.file.read_bytes() + b"\n")
        with pytest.raises(ServerChangedError):
            await reach(spec, Events(), era="2025-11-25")
        authority.file.unlink()
        with pytest.raises(ServerChangedError):
            await reach(spec, Events(), era="2025-11-25")
        assert there.open == 0


async def test_a_plain_server_behind_https_is_sent_nothing(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1 << 16))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        spec = pin_url("x", url, headers={}, authorities=str(Authority(tmp_path).file))
        assert "there is no TLS" in await refusal(spec)
    assert b"initialize" not in b"".join(heard)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x82", b"\x30\x03\x02\x01\x01", b"\x30\x02\x30\x00", b"a" * 99]
)
def test_what_is_no_certificate_has_no_key(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        key_hash(data)


# --- names --------------------------------------------------------------------------------------------------


def dialer(*answers: list[str], url: str = "https://mcp.example.com/") -> tuple[Dialer, list[str]]:
    """What makes connections where a name leads to these addresses, one list at each look."""
    asked: list[str] = []

    async def look(host: str, port: int) -> list[str]:
        asked.append(f"{host}:{port}")
        return answers[len(asked) - 1]

    return Dialer(Remote(url=url, era="2025-11-25"), patience=1.0, look=look), asked


@pytest.mark.parametrize(
    "found", [[PRIVATE], ["127.0.0.1"], [PUBLIC, PRIVATE], ["::1"], ["169.254.169.254"], []]
)
async def test_a_name_that_leads_to_a_network_of_one_s_own_is_not_connected_to(
    found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dialing, asked = dialer(found)
    monkeypatch.setattr("socket.socket", lambda *_: pytest.fail("it must not connect"))
    with pytest.raises(NotReachedError, match="not public"):
        await dialing.take()
    assert asked == ["mcp.example.com:443"]


async def test_what_was_looked_at_is_what_is_connected_to_and_each_connection_looks_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialing, asked = dialer([PUBLIC], [PRIVATE])
    connected: list[object] = []

    async def connect(_sock: object, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    with pytest.raises(NotReachedError, match="can't be reached"):
        await dialing.take()
    with pytest.raises(NotReachedError, match="not public"):
        await dialing.take()
    assert connected == [(PUBLIC, 443)]
    assert len(asked) == 2


async def test_a_name_that_nobody_knows_is_sent_nothing() -> None:
    async def look(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    dialing = Dialer(Remote(url="https://mcp.example.com/", era="2025-11-25"), patience=1.0, look=look)
    with pytest.raises(NotReachedError, match="has no address"):
        await dialing.take()


async def test_localhost_is_this_machine_whatever_a_name_server_says() -> None:
    async def look(_host: str, _port: int) -> list[str]:
        pytest.fail("it must not be looked up")

    async with RawHttp() as there:
        spec = pin_url("x", f"http://localhost:{there.port}/mcp", headers={})
        server = await reach(spec, Events(), era="2025-11-25", starter=HttpStarter(patience=QUICK, look=look))
        assert isinstance(await answered(server), Answered)
        assert there.asked[0].header("host") == f"localhost:{there.port}"
        await server.close()


async def test_a_server_that_never_takes_the_connection_up_is_given_up_in_time(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    silent: asyncio.Event = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        silent.set()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        spec = pin_url("x", f"https://127.0.0.1:{port}/", headers={}, authorities=str(authority.file))
        starter = HttpStarter(patience=StepTimeouts(start=0.3, stop=0.3))
        with pytest.raises(StartFailedError, match=r"in 0\.3 s"):
            await reach(spec, Events(), era="2025-11-25", starter=starter)
        await asyncio.wait_for(silent.wait(), 20)


async def test_a_call_to_a_server_whose_key_changed_meanwhile_is_not_sent(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context, certificate = authority.context()
    key = key_hash(certificate.public_bytes(serialization.Encoding.DER))
    async with RawHttp(context=context) as there:
        server = await reach(spec_of(there, authority, key=key), Events(), era="2025-11-25")
        server._session._dialer.close()  # noqa: SLF001 -- no connection of before
        other, _ = authority.context()
        there.context = other
        await there.listen_again()
        found = await answered(server)
        assert isinstance(found, NotSent)
        assert there.heard("tools/call") == []
        await server.close()
