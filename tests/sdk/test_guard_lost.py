from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskbound.sdk.client import DaemonLostError
from taskbound.sdk.guard import near
from taskbound.sdk.guard.errors import CallUndecidedError, OtherLoopError, OutcomeUntoldError, RepeatedError
from taskbound.sdk.guard.guarded import guard
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import Permitted, Released
from tests.sdk.noted import note, note_later, ran
from tests.sdk.notes import async_client_at, client_at, noting, outcomes, within
from tests.waiting import others

pytestmark = pytest.mark.anyio


@contextmanager
def losing(kind: type[Any]) -> Iterator[list[int]]:
    """The daemon's first answer of this kind is lost behind its commit, with its connection."""
    send = SocketServer._answer  # noqa: SLF001 - the seam of a loss
    lost: list[int] = []

    def lose(self: Any, number: int, answer: Any) -> None:
        if isinstance(answer, kind) and not lost:
            lost.append(number)
            self._transport.abort()
        else:
            send(self, number, answer)

    SocketServer._answer = lose  # type: ignore[method-assign]  # noqa: SLF001 - it dies after the commit
    try:
        yield lost
    finally:
        SocketServer._answer = send  # type: ignore[method-assign]  # noqa: SLF001 - it is there again


async def test_law_7_a_permit_whose_answer_was_lost_runs_nothing_and_is_given_back(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:

        def work() -> None:
            with client_at(place):
                with pytest.raises(CallUndecidedError, match="nothing was done"):
                    note("hello")
                assert ran == []
                note("hello")

        with losing(Permitted) as lost:
            await within(work)
        assert lost
        assert len(ran) == 1
        assert outcomes(place.world) == ["not-sent", "succeeded"]


async def test_nothing_is_said_of_a_permit_under_a_key_of_the_callers_own(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        once = note_later.using(idempotency_key="monday")
        async with async_client_at(place):
            with losing(Permitted) as lost, pytest.raises(DaemonLostError):
                await once("hello")
            assert lost
            with pytest.raises(RepeatedError) as caught:
                await once("hello")
        assert caught.value.state == "permitted"
        assert ran == []


async def test_an_outcome_whose_answer_was_lost_is_told_again_by_the_same_holder(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with losing(Released) as lost:
            async with async_client_at(place):
                assert await note_later("hello") == "noted hello"
        assert lost
        assert ran == ["hello"]
        assert outcomes(place.world) == ["succeeded"]


async def test_a_connection_that_is_lost_while_the_function_runs_is_made_anew_to_tell(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)

        @client.guard(server="notes", tool="fail", effect="write")
        def cut(text: str) -> str:
            """Fail, with a secret in the words."""
            vars(client)["_link"]._client.close()  # noqa: SLF001 - the connection breaks
            return text

        assert await within(lambda: cut("x")) == "x"
        assert outcomes(place.world) == ["succeeded"]
        client.close()


async def test_an_outcome_that_nobody_can_be_told_is_an_error_and_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "GRACE", 0.2)
    async with noting(tmp_path) as place:

        @guard(server="notes", tool="note_later", effect="write")
        async def last(text: str) -> str:
            """Write a note down, by and by."""
            place.path.unlink()
            vars(client)["_link"]._client.close()  # noqa: SLF001 - the daemon is gone
            return text

        client = async_client_at(place)
        async with client:
            with pytest.raises(OutcomeUntoldError) as caught:
                await last("hello")
        assert caught.value.outcome == "succeeded"
        assert caught.value.action.startswith("act_")
        assert outcomes(place.world) == []


async def test_an_idle_client_outlives_its_connection(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)

        def work() -> None:
            with client:
                note("hello")
                vars(client)["_link"]._client._socket.shutdown(2)  # noqa: SLF001 - it breaks between two calls
                note("more")

        await within(work)
        assert len(ran) == 2
        assert outcomes(place.world) == ["succeeded", "succeeded"]


async def test_without_a_daemon_nothing_runs(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        place.path.unlink()
        async with async_client_at(place):
            with pytest.raises(DaemonLostError):
                await note_later("hello")
        with pytest.raises(DaemonLostError):
            await within(lambda: note_called(place))
        assert ran == []


def note_called(place: Any) -> str:
    with client_at(place):
        return note("hello")


async def test_a_cancelled_call_leaves_no_permit_behind_wherever_it_is_cancelled(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)
        async with client:
            await note_later("first")
            rounds, done = 0, 0
            while done < 3:  # until a call gets through so many rounds of the loop before it is cancelled
                ran.clear()
                told = len(outcomes(place.world))
                decided = len(place.world.events("action-decided"))
                call = asyncio.ensure_future(note_later(f"note {rounds}"))
                for _ in range(rounds):
                    await asyncio.sleep(0)
                call.cancel()
                try:
                    await call
                except asyncio.CancelledError:
                    pass
                else:
                    done += 1
                while client._owed._left:  # noqa: SLF001 - what is owed is told behind the caller's back
                    await others()
                permits = place.world.events("action-decided")[decided:]
                left = outcomes(place.world)[told:]
                assert len(left) == len(permits), (rounds, permits, left)
                if not ran:
                    assert set(left) <= {"not-sent"}, rounds
                rounds += 1
        assert rounds > 5


async def test_a_client_of_one_loop_is_refused_in_another(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)
        async with client:
            await note_later("hello")

            def elsewhere() -> None:
                async def call() -> None:
                    async with client:
                        await note_later("more")

                asyncio.run(call())

            with pytest.raises(OtherLoopError):
                await within(elsewhere)
        assert ran == ["hello"]


FORKED = """
import os, sys
from pathlib import Path
from tests.sdk.notes import Here, note
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.sdk.guard.errors import ForkedError

with Client(ClientSettings(), Here(socket=Path(sys.argv[1]))):
    note("hello")
    child = os.fork()
    if not child:
        try:
            note("more")
        except ForkedError:
            os._exit(7)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    note("less")
    print(os.waitstatus_to_exitcode(status))
"""


async def test_a_child_that_was_forked_has_no_client_and_its_parent_goes_on(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        done = await within(
            lambda: subprocess.run(
                [sys.executable, "-c", FORKED, str(place.path)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        )
        assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
        assert outcomes(place.world) == ["succeeded", "succeeded"]
