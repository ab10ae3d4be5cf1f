from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import h11
import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.gateway.http.errors import NoTokenError, UnknownSessionError
from taskbound.surfaces.gateway.http.reply import Head, Reply, challenges
from taskbound.surfaces.http.errors import ForeignHostError, VerbError
from taskbound.wire.connection import Fault

pytestmark = pytest.mark.anyio

LINE = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


@dataclass
class Recorded:
    """A connection on which nothing is sent, but noted."""

    pieces: list[list[str]] = field(default_factory=list)
    events: list[h11.Event] = field(default_factory=list)
    ends: int = 0

    @property
    def heads(self) -> list[tuple[int, dict[str, str]]]:
        """The status and headers of each answer that was begun."""
        found = [one for one in self.events if isinstance(one, h11.Response)]
        return [
            (one.status_code, {name.decode(): value.decode() for name, value in one.headers}) for one in found
        ]

    @property
    def data(self) -> bytes:
        return b"".join(bytes(one.data) for one in self.events if isinstance(one, h11.Data))

    def write(self, *events: h11.Event) -> None:
        self.events += events
        self.pieces.append([type(one).__name__ for one in events])

    def finished(self) -> None:
        self.ends += 1


def made(*, json: bool = True, stream: bool = False, eager: bool = False) -> tuple[Recorded, Reply]:
    """An answer to a client that takes these."""
    head = Head(
        verb="POST", agent="coder", token="", headers={}, length=0, json=json, stream=stream, eager=eager
    )
    seen = Recorded()
    return seen, Reply(seen, head, alive=15, origin="http://here")


@pytest.mark.parametrize("eager", [False, True], ids=["document", "stream"])
@pytest.mark.parametrize("line", [LINE, b""], ids=["answer", "none"])
def test_an_answer_is_one_piece(eager: bool, line: bytes) -> None:  # noqa: FBT001 -- a case
    head = Head(
        verb="POST", agent="", token="", headers={}, length=0, json=not eager, stream=eager, eager=eager
    )
    seen = Recorded()
    reply = Reply(seen, head, alive=15, origin="http://here")
    reply.answer(line)
    reply.answer(LINE)
    assert seen.pieces == [["Response", "Data", "EndOfMessage"] if line else ["Response", "EndOfMessage"]]
    assert seen.ends == 1


async def test_after_the_end_nothing_is_said() -> None:
    later: tuple[Callable[[Reply], None], ...] = (
        lambda one: one.tell(LINE),
        lambda one: one.begin(),
        lambda one: one.answer(LINE),
        lambda one: one.accept(),
        lambda one: one.give(b"{}"),
        lambda one: one.refuse(VerbError("no")),
    )
    for each in later:
        seen, reply = made(stream=True)
        reply.answer(LINE)
        before = len(seen.events)
        each(reply)
        assert (len(seen.events), seen.ends) == (before, 1)


async def test_who_takes_no_stream_hears_the_answer_alone_and_who_takes_nothing_else_has_one() -> None:
    seen, reply = made()
    reply.tell(b'{"told":1}\n')
    reply.answer(LINE)
    assert seen.data == LINE.removesuffix(b"\n")
    seen, reply = made(json=False, stream=True)
    reply.answer(LINE)
    assert seen.heads[0][1]["content-type"] == "text/event-stream"
    seen, reply = made(stream=True)
    reply.answer(LINE, status=404)
    assert [status for status, _ in seen.heads] == [404]
    assert seen.heads[0][1]["content-type"] == "application/json"


async def test_an_answer_in_a_stream_that_was_begun_begins_no_other() -> None:
    seen, reply = made(json=False, stream=True)
    reply.begin()
    reply.answer(LINE)
    assert [status for status, _ in seen.heads] == [200]


def test_who_would_rather_have_a_stream_has_one_and_an_end_without_an_answer_is_one() -> None:
    for eager, line in ((True, LINE), (False, b"")):
        seen, reply = made(stream=True, eager=eager)
        reply.answer(line)
        assert seen.heads[0][1]["content-type"] == "text/event-stream"


def test_who_is_not_proven_has_sent_no_request_that_counts_whatever_the_daemon_says_of_it() -> None:
    seen, reply = made()
    reply.refuse(RefusedByDaemonError(Fault(code="task-ended", message="no")))
    assert seen.heads[0][0] == 401
    assert b'"code":-32600' in seen.data
    assert "retry-after" not in seen.heads[0][1]


async def test_a_stream_is_begun_once_and_held_back_by_nobody() -> None:
    seen, reply = made(stream=True)
    reply.tell(b'{"told":1}\n')
    reply.tell(b'{"told":\r\n2}\n')
    reply.begin()
    reply.answer(LINE)
    ((status, headers),) = seen.heads
    assert (status, headers["x-accel-buffering"], headers["cache-control"]) == (200, "no", "no-store")
    lines = [b'data: {"told":1}', b'data: {"told":', b"data: 2}", b"data: " + LINE[:-1]]
    assert [one for one in seen.data.splitlines() if one.startswith(b"data")] == lines


def test_what_needs_no_answer_and_what_is_refused_is_no_stream_even_to_who_would_rather_have_one() -> None:
    seen, reply = made(json=False, stream=True, eager=True)
    reply.accept()
    assert [status for status, _ in seen.heads] == [202]
    for json, eager in ((False, True), (True, True), (False, False)):
        seen, reply = made(json=json, stream=True, eager=eager)
        reply.refuse(UnknownSessionError("no"))
        ((status, headers),) = seen.heads
        assert (status, headers["content-type"]) == (404, "application/json")


def test_who_may_not_ask_here_is_not_told_how_and_a_method_is_told_which_are() -> None:
    seen, reply = made()
    reply.refuse(ForeignHostError("no"))
    assert (seen.heads[0][0], "www-authenticate" in seen.heads[0][1]) == (403, False)
    seen, reply = made()
    reply.refuse(VerbError("no"))
    assert (seen.heads[0][0], seen.heads[0][1]["allow"]) == (405, "GET, POST, DELETE")


def test_without_a_head_the_connection_ends_and_the_challenge_names_the_gateway_that_was_meant() -> None:
    seen = Recorded()
    reply = Reply(seen, None, alive=15, origin="http://here")
    reply.refuse(NoTokenError("no", agent="coder"))
    ((status, headers),) = seen.heads
    assert (status, headers["connection"]) == (401, "close")
    assert headers["www-authenticate"].endswith('/mcp/coder"')  # and no error: nothing was wrong
    assert b'"code":-32600' in seen.data
    assert [value for _, value in challenges("http://here", "", "")] == [
        'Bearer scope="task"',
        'DPoP algs="ES256", scope="task"',
    ]


def test_what_is_the_same_for_everybody_may_be_kept_for_a_minute() -> None:
    seen, reply = made()
    reply.give(b"{}")
    assert seen.heads[0][1]["cache-control"] == "public, max-age=60"


async def test_a_stream_has_comments_until_it_ends() -> None:
    seen, reply = made(stream=True)
    reply._alive = 0.001  # noqa: SLF001 -- how often is the point
    reply.begin()
    async with asyncio.timeout(20):
        while seen.data.count(b": \n\n") < 3:
            await asyncio.to_thread(len, seen.data)
    reply.answer(LINE)
    before, loop = len(seen.events), asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(0.01, done.set_result, None)
    await done
    assert len(seen.events) == before
