from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.token.shared import MAX_KEPT, ClaimsUnavailableError, ServedAnswer
from taskbound.sdk.verify import Endpoints
from taskbound.sdk.verify.asgi import AsgiGuard
from taskbound.sdk.verify.endpoint import REROUTING
from taskbound.sdk.verify.errors import AnswerUnkeptError, EndpointUnknownError
from tests.sdk.verify.world import BODY, Place, Places, full

App = Callable[[Any, Any, Any], Awaitable[None]]
ENDPOINTS = Endpoints({"POST /pay": "bank__pay"}, public=["GET /livez"])


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def scope(token: str, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": "/pay",
        "query_string": b"",
        "headers": [(b"txn-token", token.encode()), (b"content-type", b"application/json")],
        "extensions": {"http.response.pathsend": {}, "http.response.trailers": {}, "tls": {}},
    }
    return plain | more


async def asked(app: App, where: dict[str, Any], *parts: bytes) -> list[dict[str, Any]]:
    """What is sent for a request whose body comes in these parts."""
    sent: list[dict[str, Any]] = []
    left = [*parts]

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(where, receive, send)
    return sent


def ask(place: Place, app: App, *parts: bytes, **more: Any) -> tuple[int, bytes]:
    """The status and body of an answer; 0 where there is none."""
    guarded = AsgiGuard(app, place.verifier, ENDPOINTS, limit=1000)
    sent = asyncio.run(asked(guarded, scope(place.token(), **more), *(parts or (BODY,))))
    status = next((one["status"] for one in sent if one["type"] == "http.response.start"), 0)
    return status, b"".join(one["body"] for one in sent if one["type"] == "http.response.body")


def code(told: tuple[int, bytes]) -> tuple[int, str]:
    return told[0], json.loads(told[1])["code"]


class App1:
    """An application that says what it was given, and how often."""

    def __init__(self, body: bytes = b"paid", *, status: int = 200) -> None:
        self.body, self.status = body, status
        self.given: list[tuple[bytes, Any]] = []

    async def __call__(self, where: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert not message["more_body"]
        self.given.append((message["body"], where))
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-a", b"1")]})
        for at in range(0, len(self.body), 1000):
            await send({"type": "http.response.body", "body": self.body[at : at + 1000], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def test_the_application_is_given_the_very_bytes_whatever_parts_they_came_in(place: Place) -> None:
    app = App1()
    assert ask(place, app, BODY[:5], b"", BODY[5:]) == (200, b"paid")
    ((body, where),) = app.given
    assert body == BODY
    assert where["taskbound"].txn == "act_1"
    assert where["extensions"] == {"tls": {}}  # nothing by which an answer passes by
    assert ask(place, app) == (200, b"paid")
    assert len(app.given) == 1


def test_a_status_that_is_no_success_is_kept_as_it_was_given(place: Place) -> None:
    app = App1(b"no money", status=402)
    assert ask(place, app) == ask(place, app) == (402, b"no money")
    assert len(app.given) == 1


def test_of_an_answer_that_is_longer_than_is_kept_a_repeat_is_told_the_digest(place: Place) -> None:
    app = App1(b"x" * (MAX_KEPT + 1))
    assert ask(place, app) == (200, app.body)
    status, body = ask(place, app)
    told = json.loads(body)
    assert (status, told["code"]) == (409, "outcome-not-known")
    assert f"of {MAX_KEPT + 1} bytes" in told["detail"]
    assert len(app.given) == 1


def test_an_answer_of_just_the_bound_is_kept(place: Place) -> None:
    app = App1(b"x" * MAX_KEPT)
    assert ask(place, app) == ask(place, app) == (200, app.body)
    assert len(app.given) == 1


def test_who_goes_away_before_the_body_is_whole_is_told_nothing_and_uses_nothing(place: Place) -> None:
    app = App1()
    guarded = AsgiGuard(app, place.verifier, ENDPOINTS)

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    asyncio.run(guarded(scope(place.token()), gone, send))
    assert app.given == []
    assert ask(place, app) == (200, b"paid")


def test_a_body_that_is_too_long_is_not_read_to_its_end(place: Place) -> None:
    app = App1()
    assert code(ask(place, app, *[b"y" * 600] * 50)) == (413, "body-large")
    assert app.given == []


def test_an_answer_goes_on_when_who_asked_has_gone(place: Place) -> None:
    app = App1()
    guarded = AsgiGuard(app, place.verifier, ENDPOINTS)
    calls: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        calls.append(message["type"])

    asyncio.run(guarded(scope(place.token()), receive, send))
    assert calls[0] == "http.response.start"
    assert ask(place, app) == (200, b"paid")
    assert len(app.given) == 1


@pytest.mark.parametrize("after", ["nothing", "head", "part"])
def test_an_application_that_raises_leaves_what_nobody_knows(place: Place, after: str) -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        if after != "nothing":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if after == "part":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        ask(place, app)
    assert code(ask(place, app)) == (409, "outcome-not-known")


def test_an_application_that_gives_no_whole_answer_leaves_what_nobody_knows(place: Place) -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    assert ask(place, app) == (200, b"half")
    assert code(ask(place, app)) == (409, "outcome-not-known")


@pytest.mark.parametrize("status", [200, 500])
def test_an_application_that_breaks_after_its_answer_has_answered(place: Place, status: int) -> None:
    app = App1(status=status)

    async def broken(where: Any, receive: Any, send: Any) -> None:
        await app(where, receive, send)
        raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        ask(place, broken)
    assert ask(place, broken) == (status, b"paid")
    assert len(app.given) == 1


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
def test_what_an_application_raises_is_raised_though_its_claim_can_not_be_written(
    place: Place, error: type[BaseException]
) -> None:
    with ExitStack() as disk:

        async def app(_: Any, __: Any, ___: Any) -> None:
            disk.enter_context(full(place))
            raise error("broke")

        with pytest.raises(error):
            ask(place, app)
    assert code(ask(place, App1())) == (409, "outcome-not-known")


def test_an_answer_whose_head_names_no_headers_is_one(place: Place) -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    sent = asyncio.run(asked(AsgiGuard(app, place.verifier, ENDPOINTS), scope(place.token()), BODY))
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert ask(place, app) == (204, b"")


def test_a_request_that_is_cancelled_while_it_runs_leaves_what_nobody_knows(place: Place) -> None:
    async def cancelled() -> None:
        runs = asyncio.Event()

        async def app(_: Any, __: Any, ___: Any) -> None:
            runs.set()
            await asyncio.Event().wait()

        guarded = AsgiGuard(app, place.verifier, ENDPOINTS)
        task = asyncio.ensure_future(asked(guarded, scope(place.token()), BODY))
        await runs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert code(ask(place, App1())) == (409, "outcome-not-known")


def test_a_request_that_is_cancelled_while_it_begins_runs_nothing_and_is_not_still_at_it(
    place: Place,
) -> None:
    app = App1()
    may, clear = threading.Event(), place.feed.require_clear

    async def cancelled() -> None:
        loop = asyncio.get_running_loop()
        begins = asyncio.Event()

        def slow(things: Any) -> None:
            loop.call_soon_threadsafe(begins.set)
            may.wait(20)
            clear(things)

        place.feed.require_clear = slow  # type: ignore[method-assign]  # a feed that takes its time
        guarded = AsgiGuard(app, place.verifier, ENDPOINTS)
        task = asyncio.ensure_future(asked(guarded, scope(place.token()), BODY))
        await begins.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may.set()

    asyncio.run(cancelled())  # it ends when its threads have
    place.feed.require_clear = clear  # type: ignore[method-assign]  # as it was
    assert app.given == []
    assert code(ask(place, app)) == (409, "outcome-not-known")


def test_an_answer_that_can_not_be_kept_is_passed_on_and_then_raised(place: Place, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "claims" / "claims.db", isolation_level=None)
    sent: list[Any] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        place.claims._connection().execute("PRAGMA busy_timeout = 0")  # noqa: SLF001 - nobody waits for a test
        holder.execute("BEGIN IMMEDIATE")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"paid"})

    async def whole() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": BODY, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await AsgiGuard(app, place.verifier, ENDPOINTS)(scope(place.token()), receive, send)

    with pytest.raises(AnswerUnkeptError) as raised:
        asyncio.run(whole())
    assert isinstance(raised.value.__cause__, ClaimsUnavailableError)
    assert isinstance(raised.value.result, ServedAnswer)
    assert raised.value.result.body == b"paid"
    holder.execute("ROLLBACK")
    holder.close()
    assert sent[-1]["body"] == b"paid"
    assert code(ask(place, App1())) == (409, "outcome-not-known")


def test_a_socket_of_the_web_is_refused_and_a_protocol_of_nobody_raises(place: Place) -> None:
    app = App1()
    guarded = AsgiGuard(app, place.verifier, ENDPOINTS)
    sent = asyncio.run(asked(guarded, {"type": "websocket", "path": "/pay", "headers": []}))
    assert [one["type"] for one in sent] == ["websocket.close"]
    with pytest.raises(EndpointUnknownError):
        asyncio.run(asked(guarded, {"type": "webtransport", "path": "/pay", "headers": []}))
    assert app.given == []


def test_the_lifespan_and_what_is_public_reach_the_application_as_they_are(place: Place) -> None:
    seen: list[Any] = []

    async def app(where: Any, _: Any, __: Any) -> None:
        seen.append(where)

    guarded = AsgiGuard(app, place.verifier, ENDPOINTS)
    lifespan = {"type": "lifespan"}
    livez = {"type": "http", "method": "GET", "path": "/livez", "headers": []}
    for one in (lifespan, livez):
        asyncio.run(asked(guarded, one))
    assert seen == [lifespan, livez]


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez"), ("POST", "/pay"), ("GET", "/none")])
@pytest.mark.parametrize("name", sorted(REROUTING))
def test_a_header_that_makes_another_request_of_it_reaches_no_application(
    place: Place, name: str, method: str, path: str
) -> None:
    app = App1()
    for each in (name, name.title(), name.replace("-", "_")):
        head = [(b"content-type", b"application/json"), (b"txn-token", place.token().encode())]
        head.append((each.encode(), b"POST"))
        assert code(ask(place, app, method=method, path=path, headers=head)) == (400, "header-not-covered")
    assert app.given == []
    assert ask(place, app) == (200, b"paid")  # no permit was used up


@pytest.mark.parametrize("lengths", [(b"5", b"5"), (b"5, 5",), (b"5,5",), (b"+5",), (b"5", b"6")])
def test_request_with_two_lengths_reaches_no_application(place: Place, lengths: tuple[bytes, ...]) -> None:
    app = App1()
    head = [(b"content-type", b"application/json"), (b"txn-token", place.token().encode())]
    head += [(b"Content-Length", one) for one in lengths]
    assert code(ask(place, app, headers=head)) == (411, "body-length")
    assert app.given == []


def test_two_lines_of_a_token_are_two_tokens(place: Place) -> None:
    token = place.token().encode()
    head = [(b"content-type", b"application/json"), (b"txn-token", token), (b"Txn-Token", token)]
    assert code(ask(place, App1(), headers=head)) == (401, "txn-token-count")


def test_what_a_connection_has_shown_is_asked_for(place: Place) -> None:
    asked_of: list[Any] = []

    def showings(where: Any) -> tuple[str, ...]:
        asked_of.append(where["path"])
        raise RuntimeError("nobody can tell")

    app = App1()
    guarded = AsgiGuard(app, place.verifier, ENDPOINTS, showings=showings)
    with pytest.raises(RuntimeError, match="nobody can tell"):
        asyncio.run(asked(guarded, scope(place.token()), BODY))
    assert (asked_of, app.given) == (["/pay"], [])
