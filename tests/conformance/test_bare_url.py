"""The official client, given an agent's address alone: it finds out what it needs, calls, and stops.

One client is registered here. The other is known by the document at its own URL, which it takes by itself for
its name since our metadata says that it may (draft-ietf-oauth-client-id-metadata-document §6).
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.client.auth import OAuthFlowError

import tests.peers.machine
from taskbound.wiring.start import daemon_command
from tests.conformance.connecting import (
    CALLBACK,
    Kept,
    NothingHeardError,
    Person,
    Place,
    Watch,
    connected,
    fronted,
    parameters,
    prepared,
)
from tests.peers.pages import Pages, answer, pages
from tests.peers.rawhttp import Authority
from tests.wiring.running import Running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mcp import Client

pytestmark = pytest.mark.timeout(180)
HOST = "client.example"
READ = ("fs__read", {"path": "x", "text": "hello"})
OVER = 302
"""Seconds after which a token of five minutes is over by any clock."""


@dataclass
class Maker:
    """Whoever made the client that has a document, and their host."""

    there: Pages

    def url(self, name: str) -> str:
        return f"https://{HOST}:{self.there.port}/{name}"

    def publish(self, name: str, **changes: Any) -> str:
        """Have the host answer with the document of this client; its URL."""
        plain = {"client_id": self.url(name), "client_name": "The desk", "redirect_uris": [CALLBACK]}
        body = json.dumps(plain | changes).encode()
        self.there.says = answer("Content-Type: application/json", f"Content-Length: {len(body)}") + body
        return self.url(name)

    def withdraw(self) -> None:
        self.there.says = answer("Content-Length: 0", status="404 Not Found")

    @property
    def asked(self) -> list[str]:
        """What was asked for, in order."""
        return [one.split(b" ")[1].decode() for one in self.there.asked]


@dataclass
class Fixture:
    """An installation on a machine that knows the maker's host."""

    place: Place
    maker: Maker
    daemon: ExitStack
    authority: Authority

    def start(self) -> None:
        """Start its daemon."""
        self.daemon.close()
        machine = (sys.executable, str(Path(tests.peers.machine.__file__)), HOST, str(self.authority.file))
        words = daemon_command(self.place.installation.home)[5:]
        self.daemon.enter_context(Running("daemon", *words, python=machine))

    def restart(self) -> None:
        """Start its daemon anew: what it knew of documents is gone."""
        self.start()
        self.place.until_ready()

    def visit(self, *, name: str = "") -> tuple[Person, Kept]:
        """A task, a person who is in charge of it, and a client that knows nothing yet."""
        return Person(self.place, self.place.installation.start_task()), Kept(name)

    def calls(self, person: Person) -> list[tuple[str, str]]:
        """Tool and state of each call of the person's task."""
        rows = self.place.installation("action", "list", "--task", person.task, "--json").document["rows"]
        return [(row["tool"], row["state"]) for row in rows]

    def end(self, person: Person) -> None:
        """End the person's task."""
        assert self.place.installation("task", "end", person.task, "--yes").status == 0

    def connect(
        self, person: Person, kept: Kept, story: Callable[[Client], Awaitable[None]], url: str = ""
    ) -> None:
        """Do this with the official client, which has a document at this URL if there is one."""
        asyncio.run(connected(self.place, person, kept, story, client_metadata_url=url or None))

    def stopped(self, kind: type[Exception], match: str, *more: Any) -> None:
        """The same, until the client asks its person anew and gives up."""
        with pytest.RaisesGroup(pytest.RaisesExc(kind, match=match), flatten_subgroups=True):
            self.connect(*more)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    authority = Authority(tmp_path_factory.mktemp("maker"))
    with (
        pages(authority.context(HOST)[0]) as host,
        prepared(private_clients=HOST, autostart=False) as place,
        ExitStack() as daemon,
    ):
        found = Fixture(place, Maker(host), daemon, authority)
        found.start()
        with fronted(place):
            added = place.installation("token", "client", "add", "desk", "--redirect", CALLBACK)
            assert added.status == 0, added
            yield found


async def call(client: Client) -> None:
    assert not (await client.call_tool(*READ)).is_error


def test_a_client_that_is_registered_connects_by_itself(there: Fixture) -> None:
    person, kept = there.visit(name="desk")
    there.connect(person, kept, call)
    (asked,) = person.asked
    assert parameters(asked)["resource"] == [there.place.resource]
    (token,) = kept.tokens
    assert (token.token_type, token.scope) == ("Bearer", "task")
    assert there.calls(person) == [("fs__read", "succeeded")]
    there.end(person)


def test_a_client_that_has_a_document_takes_its_url_for_its_name_and_connects_by_itself(
    there: Fixture,
) -> None:
    person, kept = there.visit()
    url = there.maker.publish("whole")

    async def story(client: Client) -> None:
        assert "fs__read" in {one.name for one in (await client.list_tools()).tools}
        await call(client)

    there.connect(person, kept, story, url)
    (asked,) = person.asked
    told = parameters(asked)
    assert (told["client_id"], told["resource"]) == ([url], [there.place.resource])
    assert (told["code_challenge_method"], len(told["code_challenge"][0])) == (["S256"], 43)
    assert kept.info is not None
    assert kept.info.client_id == url
    assert there.maker.asked == ["/whole"]
    assert there.calls(person) == [("fs__read", "succeeded")]
    listed = there.place.installation("token", "admission", "list", "--json").document["rows"]
    assert [one["client"] for one in listed if one["task"] == person.task] == [url]
    there.end(person)


def test_the_client_goes_on_past_the_end_of_its_token_and_stops_where_its_task_ends(
    there: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person, kept), watch = there.visit(name="desk"), Watch(monkeypatch)

    async def story(client: Client) -> None:
        for ahead, tokens in ((0, 1), (290, 1), (OVER, 2), (2 * OVER, 3)):
            watch.ahead = ahead
            await call(client)
            assert (len(kept.tokens), len(person.asked)) == (tokens, 1), ahead
        there.end(person)
        watch.ahead, person.says_no = 3 * OVER, True
        kept.refusals.clear()
        await call(client)

    there.stopped(OAuthFlowError, "No authorization code", person, kept, story)
    assert len(person.asked) == 2
    assert parameters(person.sent)["error"] == ["access_denied"]
    (renewal, told), (path, status, _) = (kept.refusals[0][:2], kept.refusals[0][2]), kept.refusals[1]
    assert (renewal, json.loads(told)["error"]) == (("/oauth/token", 400), "invalid_grant")
    assert "the task has ended" in json.loads(told)["error_description"]
    assert (path, status) == ("/mcp/helper", 401)
    assert len(there.calls(person)) == 4


def test_the_client_stops_at_once_where_a_person_ends_what_it_was_let_in_to(there: Fixture) -> None:
    person, kept = there.visit(name="desk")

    async def story(client: Client) -> None:
        await call(client)
        ended = there.place.installation
        rows = ended("token", "admission", "list", "--json").document["rows"]
        (admission,) = [one["admission"] for one in rows if one["task"] == person.task]
        assert ended("token", "admission", "end", admission, "--yes").status == 0
        kept.refusals.clear()
        person.says_no = True
        await call(client)

    there.stopped(OAuthFlowError, "No authorization code", person, kept, story)
    assert len(person.asked) == 2
    (path, status, challenge) = kept.refusals[0]
    assert (path, status) == ("/mcp/helper", 401)
    assert 'error="invalid_token"' in challenge
    assert len(there.calls(person)) == 1
    there.end(person)


def test_a148_a_document_that_is_none_lets_no_client_in_and_counts_again_once_it_is_mended(
    there: Fixture,
) -> None:
    person, kept = there.visit()
    before = len(there.maker.asked)
    url = there.maker.publish("mended", client_id=there.maker.url("another"))
    there.stopped(NothingHeardError, "bad-client-document", person, kept, call, url)
    there.maker.withdraw()
    there.stopped(NothingHeardError, "client-unreachable", person, kept, call, url)
    there.maker.publish("mended", redirect_uris=["https://elsewhere.example/callback"])
    there.stopped(NothingHeardError, "bad-client-document", person, kept, call, url)
    assert person.sent == ""
    there.maker.publish("mended")
    there.connect(person, kept, call, url)
    assert there.maker.asked[before:] == ["/mended"] * 4
    assert there.calls(person) == [("fs__read", "succeeded")]
    there.end(person)


def test_a148_what_a_document_says_later_changes_nothing_that_was_consented_to_and_all_that_comes_after(
    there: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person, kept), watch = there.visit(), Watch(monkeypatch)
    url = there.maker.publish("changed")
    before = len(there.maker.asked)

    async def story(client: Client) -> None:
        await call(client)
        there.maker.publish("changed", redirect_uris=[f"{CALLBACK}/other"])
        await asyncio.to_thread(there.restart)
        watch.ahead = OVER
        await call(client)
        there.maker.withdraw()
        watch.ahead = 2 * OVER
        await call(client)
        assert (len(kept.tokens), len(there.maker.asked)) == (3, before + 1)
        there.maker.publish("changed", redirect_uris=[f"{CALLBACK}/other"])
        there.end(person)
        await call(client)

    there.stopped(NothingHeardError, "bad-redirect", person, kept, story, url)
    assert (len(person.asked), person.sent) == (2, "")
    assert len(there.maker.asked) == before + 2
    assert len(there.calls(person)) == 3
