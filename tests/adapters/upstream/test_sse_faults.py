"""The faults of `peers/faulty.py` in a call's answer, on the stream of a server of MCP 2024-11-05."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import pytest

from taskbound.ports.upstream import Answered, Errored, NoAnswer
from tests.adapters.upstream.reaching import answered
from tests.adapters.upstream.test_sse import on_call, reached
from tests.peers.faulty import CALLS, Peer
from tests.peers.rawhttp import Asked, Say
from tests.peers.rawsse import RawSse, Stream, event

pytestmark = pytest.mark.anyio

BELIEVED = ("answers-unasked-id", "answers-twice", "crlf", "drips")
FAILED = ("error-with-orders",)
UNKNOWN = (
    "answer-as-request",
    "bare-cr",
    "batch",
    "deep",
    "duplicate-key",
    "floods-result",
    "id-bool",
    "id-null",
    "infinite",
    "invalid-utf8",
    "lone-surrogate",
    "nan",
    "neither-result-nor-error",
    "result-and-error",
    "two-in-one-line",
    "wrong-shape",
)
REFUSED = ("asks-elicitation", "asks-roots", "asks-sampling")


class Said(Peer):
    """Keeps what the fault would write to standard output."""

    def __init__(self, fault: str) -> None:
        plain = {"at": "tools/call", "after": 0, "n": 17 * 1024 * 1024, "gate": None, "log": None}
        super().__init__(
            argparse.Namespace(fault=fault, **(plain | {"n": None if fault == "deep" else plain["n"]}))
        )
        self.said = bytearray()

    def write(self, raw: bytes) -> None:
        self.said += raw


async def found_of(fault: str) -> tuple[Any, RawSse]:
    async def strikes(asked: Asked, say: Say, stream: Stream) -> None:
        await say.answer(202, headers="Connection: close\r\n")
        peer = Said(fault)
        await asyncio.to_thread(CALLS[fault], peer, asked.message)
        for line in bytes(peer.said).split(b"\n")[:-1]:
            await stream.say.raw(event("message", line))
        if fault in REFUSED:
            await there.http.until(lambda: any(one.body and not one.method for one in there.asked))
            await stream.message(there.answer(asked.message))

    async with RawSse(does=on_call(strikes)) as there, reached(there) as (server, _):
        return await answered(server), there


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_what_can_not_be_believed_is_unknown_and_the_call_was_sent_once(fault: str) -> None:
    found, there = await found_of(fault)
    assert isinstance(found, NoAnswer)
    assert len(there.heard("tools/call")) == 1


@pytest.mark.parametrize("fault", BELIEVED)
async def test_what_is_right_beside_the_fault_is_believed(fault: str) -> None:
    found, _ = await found_of(fault)
    assert isinstance(found, Answered)
    assert b"second" not in found.raw
    assert b"for nobody" not in found.raw


@pytest.mark.parametrize("fault", FAILED)
async def test_an_error_is_the_server_s_own(fault: str) -> None:
    found, _ = await found_of(fault)
    assert isinstance(found, Errored)


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_the_server_asks_is_refused_and_its_answer_still_counts(fault: str) -> None:
    found, there = await found_of(fault)
    assert isinstance(found, Answered)
    (reply,) = [one.message for one in there.asked if one.body and not one.method]
    assert reply["error"]["code"] == -32601
