"""Servers of MCP of both libraries, in processes of their own, asked by the official client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from taskbound.wire.tool import ListTools, ToolRows
from tests.tokens import es256
from tests.wiring.guarding import NUMBERS, SPEAKING, Paying, World, opened
from tests.wiring.running import client, until

KINDS = pytest.mark.parametrize("kind", SPEAKING)
MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])


@pytest.fixture(scope="module")
def permitting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What permits for all tests that end nothing of it."""
    with opened(tmp_path_factory.mktemp("permitting")) as one:
        yield one


@pytest.fixture(scope="module", params=SPEAKING)
def service(request: pytest.FixtureRequest, permitting: World) -> Paying:
    """A server for the definition that its tool was pinned with."""
    with client(permitting.one.socket) as person:
        (row,) = person.ask(ListTools(), ToolRows).rows
    permitting.folder /= str(request.param)
    permitting.folder.mkdir()
    return permitting.service(request.param, definition=row.definition)


class Shown(httpx2.Auth):
    """Shows these tokens with each request."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._tokens = tokens

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        request.headers = httpx2.Headers(
            [*request.headers.raw, *((b"Txn-Token", one.encode()) for one in self._tokens)]
        )
        yield request


def asked(service: Paying, text: str, *tokens: str, mode: str = "auto", name: str = "say") -> Any:
    """What the official client is told of a call."""

    async def story() -> Any:
        url = f"http://127.0.0.1:{service.said}/mcp"
        async with (
            httpx2.AsyncClient(auth=Shown(tokens), timeout=20.0) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as one,
        ):
            assert {each.name for each in (await one.list_tools()).tools} == {"say"}
            return await one.call_tool(name, {"text": text})

    return asyncio.run(story())


def why(result: Any) -> tuple[str, str]:
    """How a call was refused: the code, and what is missing."""
    told = result.meta["io.taskbound/refused"]
    assert result.is_error
    assert told["challenge"].startswith(f'Taskbound error="{told["code"]}", missing="{told["missing"]}"')
    return told["code"], told["missing"]


def permitted(world: World, word: str = "hello") -> tuple[str, str]:
    """A text that nobody said before, and the token of the permit to say it."""
    text = f"{word} {next(NUMBERS)}"
    found = world.permit(text)
    assert found["status"] == 200, found
    return text, str(found["token"])


@MODES
def test_a_server_does_what_was_permitted_once_and_tells_a_repeat_what_it_answered(
    permitting: World, service: Paying, mode: str
) -> None:
    text, token = permitted(permitting)
    first, again = (asked(service, text, token, mode=mode) for _ in range(2))
    assert (first.is_error, first.content[0].text) == (False, f"said {text}")
    assert (again.content, again.structured_content) == (first.content, first.structured_content)
    assert ("io.taskbound/answer" in (first.meta or {}), again.meta["io.taskbound/answer"]) == (
        False,
        "recorded",
    )
    assert service.runs().count(text.replace(" ", "-")) == 1


def test_a_server_refuses_a_legacy_client_a_call_that_was_not_permitted_and_says_what_is_missing(
    permitting: World, service: Paying
) -> None:
    ran = service.runs()
    text, token = permitted(permitting)
    stranger = es256("stranger", seed=77).raw(b'{"alg":"ES256","kid":"stranger","typ":"txntoken+jwt"}', b"{}")
    head, payload, _ = token.split(".")
    refused = permitting.permit("hello", arguments={"loud": True})
    assert (refused["status"], "token" in refused) == (403, False)
    told = {
        "unapproved": asked(service, "hello", mode="legacy"),
        "altered": asked(service, f"{text}!", token, mode="legacy"),
        "foreign": asked(service, text, f"{head}.{payload}.{stranger.split('.')[2]}", mode="legacy"),
        "two": asked(service, text, token, token, mode="legacy"),
        "an access token": asked(service, text, permitting.one.token(), mode="legacy"),
        "of another permit": asked(service, text, permitted(permitting)[1], mode="legacy"),
        "undeclared": asked(service, text, token, mode="legacy", name="shout"),
    }
    assert {name: why(one) for name, one in told.items()} == {
        "unapproved": ("txn-token-absent", "txn-token"),
        "altered": ("other-action", "token-for-this-request"),
        "foreign": ("token-unproven", "valid-token"),
        "two": ("txn-token-count", "one-txn-token"),
        "an access token": ("token-kind", "valid-token"),
        "of another permit": ("other-action", "token-for-this-request"),
        "undeclared": ("endpoint-unknown", "declared-endpoint"),
    }
    assert service.runs() == ran
    assert asked(service, text, token, mode="legacy").content[0].text == f"said {text}"


@KINDS
def test_a_server_that_was_killed_while_it_worked_leaves_what_nobody_knows(
    permitting: World, tmp_path: Path, kind: str
) -> None:
    own = {"claims": str(tmp_path / "service" / "claims.db"), "book": str(tmp_path / "book")}
    service, other = permitting.service(kind, **own), permitting.service(kind, **own)
    text, token = permitted(permitting, "hang")

    def ask() -> None:
        with suppress(Exception):  # it is killed meanwhile
            asked(service, text, token)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: len(service.runs()) == 1, "it says something")
    assert why(asked(other, text, token)) == ("still-at-it", "patience")
    service.end()
    thread.join()
    assert why(asked(other, text, token)) == ("outcome-not-known", "known-outcome")
    assert len(other.runs()) == 1
