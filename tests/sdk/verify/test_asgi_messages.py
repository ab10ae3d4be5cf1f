"""Messages of ASGI that an application or a server may send beside the usual ones: rules 2 to 4 of `asgi`."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from taskbound.sdk.verify.asgi import AsgiGuard
from tests.sdk.verify.test_asgi import ENDPOINTS, App1, ask, asked, code, scope
from tests.sdk.verify.world import BODY, Place, Places


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


class Saying:
    """An application that says these messages, and may break after them."""

    def __init__(self, *messages: dict[str, Any], breaks: bool = False) -> None:
        self._messages, self._breaks = messages, breaks
        self.runs = 0

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        await receive()
        for one in self._messages:
            await send(dict(one))
        if self._breaks:
            raise RuntimeError("the application broke")


START: dict[str, Any] = {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]}
END: dict[str, Any] = {"type": "http.response.body", "body": b"paid"}


def test_what_a_digest_of_the_body_does_not_cover_is_refused_before_the_body_is_read(place: Place) -> None:
    app = App1()
    token = (b"txn-token", place.token().encode())
    kind = (b"content-type", b"application/json")
    asked_for: dict[str, dict[str, Any]] = {
        "query": {"query_string": b"a=b"},
        "type": {"headers": [token, (b"content-type", b"text/plain")]},
        "types": {"headers": [token, kind, kind]},
        "encoding": {"headers": [token, kind, (b"content-encoding", b"gzip")]},
        "path": {"path": "/other"},
        "method": {"method": "PUT"},
    }
    assert {name: code(ask(place, app, **more)) for name, more in asked_for.items()} == {
        "query": (400, "query-not-covered"),
        "type": (415, "other-content-type"),
        "types": (415, "other-content-type"),
        "encoding": (415, "content-encoded"),
        "path": (403, "endpoint-unknown"),
        "method": (403, "endpoint-unknown"),
    }
    assert app.given == []


def test_a_refusal_says_over_http_what_is_missing_and_when_to_come_again(place: Place) -> None:
    app = AsgiGuard(App1(), place.verifier, ENDPOINTS)

    def told(**more: Any) -> dict[str, str]:
        sent = asyncio.run(asked(app, scope(place.token(), **more), BODY))
        return {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    nowhere = told(path="/other")
    assert nowhere["www-authenticate"] == (
        'Taskbound error="endpoint-unknown", missing="declared-endpoint", domain="corp.example"'
    )
    assert (nowhere["content-type"], nowhere["cache-control"]) == ("application/problem+json", "no-store")
    assert "retry-after" not in nowhere
    place.feed.fresh = False
    assert told()["retry-after"] == "1"


def test_a_body_of_just_the_limit_is_read(place: Place) -> None:
    assert code(ask(place, App1(), b" " * 1000))[0] == 403  # and is not what was permitted
    assert code(ask(place, App1(), b" " * 1001)) == (413, "body-large")


def test_a_body_that_takes_too_long_is_refused_and_uses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbound.sdk.verify.asgi._PATIENCE", 0.01)
    app, sent = App1(), list[dict[str, Any]]()

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    asyncio.run(AsgiGuard(app, place.verifier, ENDPOINTS)(scope(place.token()), never, send))
    assert [one.get("status") for one in sent] == [408, None]
    assert app.given == []
    monkeypatch.undo()
    assert ask(place, app)[0] == 200


def test_a_server_without_extensions_is_one(place: Place) -> None:
    app = App1()
    assert ask(place, app, extensions=None)[0] == 200
    assert app.given[0][1]["extensions"] == {}


def test_behind_the_body_the_application_hears_what_the_server_says(place: Place) -> None:
    heard: list[dict[str, Any]] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        heard.extend([await receive(), await receive()])
        await send(START)
        await send(END)

    assert ask(place, app)[0] == 201
    assert heard == [
        {"type": "http.request", "body": BODY, "more_body": False},
        {"type": "http.disconnect"},
    ]


def test_a_body_without_a_head_is_no_answer(place: Place) -> None:
    app = Saying(END)
    ask(place, app)
    assert code(ask(place, app)) == (409, "outcome-not-known")
    assert app.runs == 1


def test_a_message_that_is_no_part_of_an_answer_does_not_end_it(place: Place) -> None:
    debug = {"type": "http.response.debug", "info": {}}
    app = Saying(START, debug, breaks=True)
    with pytest.raises(RuntimeError):
        ask(place, app)
    assert code(ask(place, app)) == (409, "outcome-not-known")
    assert app.runs == 1


def test_an_answer_is_whole_once_whatever_is_said_behind_it(place: Place) -> None:
    app = Saying(START, END, {**END, "body": b" twice"})
    assert ask(place, app)[0] == 201
    assert ask(place, app) == (201, b"paid")
    assert app.runs == 1
