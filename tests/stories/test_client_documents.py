"""Clients that a document describes, fetched from real hosts (G8: A148, A155)."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.errors import TaskboundError
from taskbound.core.token.authorization.errors import BadClientRequestError, BadRedirectError
from taskbound.core.token.authorization.request import ClientId, parse_client_id
from taskbound.flows.token import Askings, Descriptions
from taskbound.flows.token.clients import FRESH
from tests.client_world import BASE, CALLBACK, CHALLENGE, RESOURCE, SPACE, settled
from tests.peers.rawhttp import Authority, RawHttp
from tests.world import World, WorldClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.request import Client
    from taskbound.ports.store import Store
    from tests.peers.rawhttp import Asked, Say

HOST = "client.example"
HERE = "198.51.100.7"


class Maker:
    """Whoever answers for a client, and a daemon's memory of it."""

    def __init__(self, there: RawHttp, *, private: Sequence[str] = (HOST,), patience: float = 5.0) -> None:
        self.there = there
        self.clock = WorldClock()
        self.status, self.body, self.kind, self.headers = 200, b"", "application/json", ""
        self.descriptions = Descriptions(
            HttpDocuments(patience=patience, look=_loopback), self.clock, private=private
        )
        there.does = self._answer
        self.publish()

    def id(self, path: str = "/client.json", host: str = HOST) -> ClientId:
        return parse_client_id(f"https://{host}:{self.there.port}{path}")

    def publish(self, **changes: Any) -> None:
        plain = {
            "client_id": self.id().text,
            "client_name": "Desk",
            "redirect_uris": [CALLBACK],
            **changes,
        }
        self.body = json.dumps(plain).encode()

    async def client(self, client: ClientId | None = None, address: str = HERE) -> Client:
        return await asyncio.to_thread(self.descriptions.client, client or self.id(), address=address)

    async def refused(self, client: ClientId | None = None, address: str = HERE) -> str:
        with pytest.raises(TaskboundError) as caught:
            await self.client(client, address)
        return caught.value.code

    async def _answer(self, asked: Asked, say: Say) -> bool:
        del asked
        await say.answer(self.status, self.body, self.kind, self.headers)
        return True


async def _loopback(host: str, port: int) -> Sequence[str]:
    del host, port
    return ["127.0.0.1"]


def believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a host shows whose authority this machine believes, as it believes those of its system."""
    authority = Authority(folder)
    paths = SimpleNamespace(openssl_cafile=str(authority.file), openssl_capath=str(folder / "none"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    return authority.context(HOST)[0]


def played(
    folder: Path, story: Callable[[Maker], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, **more: Any
) -> None:
    context = believed(folder, monkeypatch)

    async def play() -> None:
        async with RawHttp(context=context) as there:
            await story(Maker(there, **more))

    asyncio.run(play())


def test_a_client_is_what_its_document_says_and_is_known_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        found = await maker.client()
        assert (found.id, found.host, found.name) == (maker.id().text, HOST, "Desk")
        assert [one.text for one in found.redirects] == [CALLBACK]
        maker.publish(redirect_uris=[f"{CALLBACK}2"])
        maker.clock.advance(FRESH // 1_000_000 - 1)
        assert await maker.client() == found
        assert len(maker.there.asked) == 1
        maker.clock.advance(1)
        assert [one.text for one in (await maker.client()).redirects] == [f"{CALLBACK}2"]
        (asked, _) = maker.there.asked
        assert (asked.verb, asked.target, asked.body) == ("GET", "/client.json", b"")
        assert not {"cookie", "authorization", "referer"} & dict(asked.headers).keys()

    played(tmp_path, story, monkeypatch)


def test_that_there_was_no_document_is_not_kept_for_who_asks_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        maker.status = 404
        assert await maker.refused() == "client-unreachable"
        maker.status = 200
        maker.publish(client_secret="hunter2")
        assert await maker.refused() == "bad-client-document"
        maker.publish()
        assert (await maker.client()).name == "Desk"
        assert len(maker.there.asked) == 3

    played(tmp_path, story, monkeypatch)


def test_who_asks_at_once_for_the_same_client_hears_what_one_fetch_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        looked = threading.Semaphore(0)

        class Seen(WorldClock):
            def now(self) -> Instant:
                try:
                    return super().now()
                finally:
                    looked.release()

        maker.clock = Seen()
        maker.descriptions = Descriptions(HttpDocuments(look=_loopback), maker.clock, private=(HOST,))

        async def slow(asked: Asked, say: Say) -> bool:
            del asked
            first = len(maker.there.asked) == 1
            for _ in range(
                5 if first else 0
            ):  # the first looks twice, and each of the others once before it waits
                await asyncio.to_thread(looked.acquire)
            maker.clock.advance(1)
            await say.answer(404)
            return True

        maker.there.does = slow
        assert await asyncio.gather(*(maker.refused() for _ in range(4))) == ["client-unreachable"] * 4
        assert len(maker.there.asked) == 1

    played(tmp_path, story, monkeypatch)


def test_a155_nothing_is_followed_and_nothing_is_believed_that_is_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        cases: list[tuple[int, str, dict[str, Any], str]] = [
            (302, "application/json", {}, "client-unreachable"),
            (500, "application/json", {}, "client-unreachable"),
            (200, "text/html", {}, "client-unreachable"),
            (200, "application/json", {"client_id": "https://client.example/other"}, "bad-client-document"),
            (200, "application/json", {"client_secret": "hunter2"}, "bad-client-document"),
            (200, "application/json", {"redirect_uris": ["https://evil.example/"]}, "bad-client-document"),
            (200, "application/json", {"more": "x" * 6_000}, "bad-client-document"),
            (200, "application/json", {"more": "x" * 70_000}, "client-unreachable"),
        ]
        maker.headers = f"Location: https://{HOST}:{maker.there.port}/other\r\n"
        for status, kind, changes, code in cases:
            maker.status, maker.kind = status, kind
            maker.publish(**changes)
            before = len(maker.there.asked)
            assert await maker.refused() == code, (status, kind, changes)
            assert len(maker.there.asked) == before + 1
            maker.clock.advance(60)

    played(tmp_path, story, monkeypatch)


def test_a155_a_host_is_in_a_network_of_ones_own_only_where_somebody_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        assert await maker.refused() == "client-unreachable"
        assert (maker.there.taken, maker.there.asked) == (0, [])

    played(tmp_path, story, monkeypatch, private=("other.example",))


def test_a_host_that_does_not_prove_who_it_is_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        assert await maker.refused(maker.id(host="other.example")) == "client-unreachable"
        assert maker.there.asked == []

    played(tmp_path, story, monkeypatch, private=("other.example",))


def test_a_host_that_is_silent_is_waited_for_no_longer_than_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        async def silent(asked: Asked, say: Say) -> bool:
            del asked, say
            await asyncio.Event().wait()
            return True

        maker.there.does = silent
        assert await maker.refused() == "client-unreachable"

    played(tmp_path, story, monkeypatch, patience=0.2)


def test_a155_nobody_reaches_a_host_through_us_more_than_so_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        maker.status = 404
        for number in range(10):
            assert await maker.refused(maker.id(f"/{number}"), f"198.51.100.{number}") == "client-unreachable"
        assert await maker.refused(maker.id("/10"), "198.51.100.99") == "too-many-documents"
        assert len(maker.there.asked) == 10
        maker.clock.advance(60)
        for number in range(10, 20):
            assert (
                await maker.refused(maker.id(f"/{number}"), f"2001:db8:0:1::{number}") == "client-unreachable"
            )
        maker.clock.advance(60)
        assert await maker.refused(maker.id("/20"), "2001:db8:0:1::ff") == "client-unreachable"

    played(tmp_path, story, monkeypatch)


def test_a155_one_address_has_few_documents_fetched_whatever_hosts_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(maker: Maker) -> None:
        for number in range(10):
            there = maker.id(host=f"h{number}.example")
            assert await maker.refused(there, f"2001:db8:0:1::{number}") == "client-unreachable"
        other = maker.id(host="h10.example")
        assert await maker.refused(other, "2001:db8:0:1:ffff::") == "too-many-documents"
        assert await maker.refused(other, "2001:db8:0:2::") == "client-unreachable"

    played(tmp_path, story, monkeypatch)


def test_a155_a_request_that_can_not_be_answered_has_nothing_fetched(store: Store) -> None:
    desk = settled(World(store=store))
    client = parse_client_id("https://client.example/client.json")
    askings: Askings = desk.askings
    plain = {
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": RESOURCE,
    }
    askings.require_worth_describing(SPACE, plain, client, base=BASE)
    for changes in (
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": "x"},
        {"resource": "https://gate.example/mcp/nobody"},
        {"scope": "all"},
        {"request_uri": "https://client.example/request"},
    ):
        with pytest.raises(BadClientRequestError):
            askings.require_worth_describing(SPACE, plain | changes, client, base=BASE)
    for redirect in ("https://other.example/cb", "app:/cb", "", "http://other.example/cb"):
        with pytest.raises(BadRedirectError):
            askings.require_worth_describing(SPACE, plain | {"redirect_uri": redirect}, client, base=BASE)
