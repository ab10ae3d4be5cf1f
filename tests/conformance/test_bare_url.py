"""The official client, given an agent's address and nothing else: it finds out what it needs, and calls."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from tests.surfaces.cli.installation import Installation
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.types import CallToolResult

pytestmark = pytest.mark.timeout(120)
CALLBACK = "http://127.0.0.1:9/callback"


class Kept:
    """What the client keeps: its name here, and the tokens that it gets."""

    def __init__(self) -> None:
        self.tokens: list[OAuthToken] = []

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens[-1] if self.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens.append(tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return OAuthClientInformationFull(
            client_id="desk", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError(f"nobody registers a client here: {client_info.client_id}")


class UntilClient(urllib.request.HTTPRedirectHandler):
    """Follows redirections up to the client's own address."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if newurl.startswith(CALLBACK):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Person:
    """Somebody with a browser and a terminal, who lets the client in to one task."""

    def __init__(self, place: Installation, task: str) -> None:
        self.place, self.task = place, task
        self.asked: list[str] = []
        self.sent = ""

    async def browse(self, address: str) -> None:
        """Open what the client wants opened, answer in the terminal, and go on."""
        await asyncio.to_thread(self._browse, address)

    def _browse(self, address: str) -> None:
        self.asked.append(address)
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(jar, UntilClient)
        with opener.open(address, timeout=20) as page:
            path, body = page.url, page.read().decode()
        found = re.search("taskbound token consent ([A-Z-]+)", body)
        assert found is not None, body
        done = self.place("token", "consent", found[1], "--task", self.task, "--yes")
        assert done.status == 0, done
        with pytest.raises(urllib.error.HTTPError) as told:
            opener.open(path, timeout=20)
        with told.value as answer:
            assert answer.code == 303
            self.sent = answer.headers["location"]

    async def heard(self) -> AuthorizationCodeResult:
        """What the client's own address was sent."""
        query = parse_qs(urlsplit(self.sent).query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0], iss=query["iss"][0])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def installed() -> Iterator[tuple[Installation, str]]:
    """An installation with an API and a front over HTTP, and the front's origin."""
    place, api, front = Installation(), free_port(), free_port()
    origin = f"http://127.0.0.1:{front}"
    try:
        place.home.mkdir(mode=0o700)
        (place.home / "taskbound.toml").write_text(
            f'api_address = "127.0.0.1:{api}"\ngateway_origin = "{origin}"\n', encoding="utf-8"
        )
        (place.home / "taskbound.toml").chmod(0o600)
        place.prepare()
        assert place("token", "client", "add", "desk", "--redirect", CALLBACK).status == 0
        process = place.spawn("gateway", "--listen", f"127.0.0.1:{front}")
        try:
            told = process.stdout.readline() if process.stdout is not None else ""
            assert told.startswith("listening on"), told
            until(lambda: place.status().signer == "reachable", "the signer is there")
            yield place, origin
        finally:
            process.terminate()
            process.communicate(timeout=20)
    finally:
        place.end()


def test_the_official_client_connects_by_itself_from_an_agents_address_alone() -> None:
    with installed() as (place, origin):
        task = place.start_task()
        person, kept = Person(place, task), Kept()
        auth = OAuthClientProvider(
            server_url=f"{origin}/mcp/helper",
            client_metadata=OAuthClientMetadata(
                client_name="desk", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
            ),
            storage=kept,
            redirect_handler=person.browse,
            callback_handler=person.heard,
        )

        async def call() -> CallToolResult:
            async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
                transport = streamable_http_client(f"{origin}/mcp/helper", http_client=http)
                async with Client(transport) as client:
                    return await client.call_tool("fs__read", {"path": "x", "text": "hello"})

        called = asyncio.run(call())
        assert not called.is_error, called
        (asked,) = person.asked
        assert parse_qs(urlsplit(asked).query)["resource"] == [f"{origin}/mcp/helper"]
        (token,) = kept.tokens
        assert (token.token_type, token.scope) == ("Bearer", "task")
        (row,) = place("action", "list", "--task", task, "--json").document["rows"]
        assert (row["tool"], row["task"], row["state"]) == ("fs__read", task, "succeeded")
        assert place("task", "end", task, "--yes").status == 0
