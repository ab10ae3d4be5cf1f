"""The official client, who uses it, and an installation with an API and a front over HTTP.

with prepared() as place, fronted(place):
    person = Person(place, task)
    asyncio.run(connected(place, person, Kept("desk"), story))
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
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

from tests.peers.ports import free_port
from tests.surfaces.cli.installation import Installation
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    import pytest

CALLBACK = "http://127.0.0.1:9/callback"


class NothingHeardError(Exception):
    """The client's address was sent nothing."""


class Kept:
    """What the client keeps: its name where it has one, and the tokens that it gets."""

    def __init__(self, client: str = "") -> None:
        self.tokens: list[OAuthToken] = []
        self.refusals: list[tuple[str, int, str]] = []
        """Each answer that is none: path, status, and what is said in it or in the challenge."""
        self.client = client
        self.info: OAuthClientInformationFull | None = None
        if client:
            self.info = OAuthClientInformationFull(
                client_id=client, redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
            )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens[-1] if self.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens.append(tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        assert not self.client, f"nobody registers a client here: {client_info.client_id}"
        self.info = client_info

    async def hear(self, response: httpx2.Response) -> None:
        """Take down what is refused."""
        if response.status_code >= 400:
            said = response.headers.get("www-authenticate") or (await response.aread()).decode()
            self.refusals.append((response.request.url.path, response.status_code, said))


class Watch:
    """The client's own clock, by which it knows that a token is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        clock = SimpleNamespace(time=lambda: time.time() + self.ahead)
        for module in ("mcp.client.auth.oauth2", "mcp.shared.auth_utils"):
            monkeypatch.setattr(f"{module}.time", clock)


class _UntilClient(urllib.request.HTTPRedirectHandler):
    """Follows redirections up to the client's own address."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if newurl.startswith(CALLBACK):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Person:
    """Somebody with a browser and a terminal, who lets the client in to one task."""

    place: Place
    task: str
    says_no: bool = False
    asked: list[str] = field(default_factory=list)
    """What the client had opened."""
    sent: str = ""
    """Where the browser was sent at last, at the client's own address."""
    page: str = ""
    """What the page said at last."""

    async def browse(self, address: str) -> None:
        """Open what the client wants opened, answer in the terminal, and go on."""
        await asyncio.to_thread(self._browse, address)

    def _browse(self, address: str) -> None:
        self.asked.append(address)
        self.sent = ""
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(jar, _UntilClient)
        path = self._open(opener, address)
        found = re.search("taskbound token consent ([A-Z-]+)", self.page)
        if found is None:
            return
        answer = ("--deny",) if self.says_no else ("--task", self.task)
        done = self.place.installation("token", "consent", found[1], *answer, "--yes")
        assert done.status == 0, done
        self._open(opener, path)

    def _open(self, opener: urllib.request.OpenerDirector, address: str) -> str:
        """Open a page; where it is, or nowhere where the browser was sent to the client."""
        try:
            with opener.open(address, timeout=20) as page:
                self.page = page.read().decode()
                return str(page.url)
        except urllib.error.HTTPError as told:
            with told:
                self.page = told.read().decode()
                self.sent = told.headers.get("location", "")
            return ""

    @property
    def code(self) -> str:
        """Which refusal the page showed; empty when it showed none."""
        found = re.search(r"<code>\[([a-z-]+)\]</code>", self.page)
        return "" if found is None else found[1]

    async def heard(self) -> AuthorizationCodeResult:
        """What the client's own address was sent."""
        if not self.sent:
            raise NothingHeardError(self.code)
        query = {name: one for name, (one,) in parse_qs(urlsplit(self.sent).query).items()}
        return AuthorizationCodeResult(code=query.get("code", ""), state=query["state"], iss=query["iss"])


@dataclass
class Place:
    """An installation whose front listens here."""

    installation: Installation
    origin: str
    issuer: str

    @property
    def resource(self) -> str:
        """The agent's address: all that a client is given."""
        return f"{self.origin}/mcp/helper"

    def until_ready(self) -> None:
        """Wait until tokens are given and taken."""
        until(lambda: self.installation.status().signer == "reachable", "the signer is there")
        until(lambda: answers(f"{self.issuer}/readyz"), "the API is there")
        until(lambda: self.origin in self.installation.status().fronts, "the front is there")


def answers(address: str) -> bool:
    """Whether a process says that it is ready."""
    try:
        with urllib.request.build_opener().open(address, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def prepared(**settings: str | bool) -> Iterator[Place]:
    """A data directory whose settings name an API and a front, and nothing that runs."""
    installation, front = Installation(), free_port()
    origin = f"http://127.0.0.1:{front}"
    api = f"127.0.0.1:{free_port()}"
    told = {"api_address": api, "gateway_origin": origin, **settings}
    try:
        installation.home.mkdir(mode=0o700)
        file = installation.home / "taskbound.toml"
        file.write_text(
            "".join(f"{name} = {json.dumps(one)}\n" for name, one in told.items()), encoding="utf-8"
        )
        file.chmod(0o600)
        yield Place(installation, origin, f"http://{api}")
    finally:
        installation.end()


@contextmanager
def fronted(place: Place) -> Iterator[None]:
    """A person, an active agent, and a front that listens for as long."""
    installation = place.installation
    installation.prepare()
    process = installation.spawn("gateway", "--listen", place.origin.removeprefix("http://"))
    try:
        told = process.stdout.readline() if process.stdout is not None else ""
        assert told.startswith("listening on"), told
        place.until_ready()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


async def connected(
    place: Place,
    person: Person,
    kept: Kept,
    story: Callable[[Client], Awaitable[None]],
    **more: Any,
) -> None:
    """Do this with the official client, which is given the agent's address and nothing else."""
    auth = OAuthClientProvider(
        server_url=place.resource,
        client_metadata=OAuthClientMetadata(
            client_name="desk", redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none"
        ),
        storage=kept,
        redirect_handler=person.browse,
        callback_handler=person.heard,
        **more,
    )
    async with httpx2.AsyncClient(auth=auth, timeout=30, event_hooks={"response": [kept.hear]}) as http:
        transport = streamable_http_client(place.resource, http_client=http)
        async with Client(transport) as client:
            await story(client)


def parameters(address: str) -> Mapping[str, list[str]]:
    """What an address says beside the path."""
    return parse_qs(urlsplit(address).query)
