"""A call over HTTP that is interrupted: what was known of it is told, and by nobody twice."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.task import TaskEvent
from taskbound.sdk.guard import afar
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import OutcomeUntoldError, RepeatedError
from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.guard.proof import Proof, UnreadableProofError
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import ActionPermitted, NotPermitted, OutcomeTaken
from tests.sdk.interrupted import STAGES, Log, at_line, cancelling, interrupting, nothing_left, owed
from tests.sdk.noted import note_later, ran
from tests.sdk.notes import Here, outcomes
from tests.sdk.notes_afar import Distant, distant
from tests.sdk.test_guard_owed import decided, did_run, put, using
from tests.sdk.test_guard_ran import BUSY, answering
from tests.world import ANN

WAYS = [(where, times) for where in ("before", "behind") for times in (1, 3)]
CANCELS = [*WAYS, ("within", 1), ("within", 3)]
STRIDE = 11
"""Every so manieth line is interrupted, from another one on each time; all of them were, by hand."""


def test_law_7_a_call_that_is_interrupted_at_a_line_of_the_sdk_leaves_what_was_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        log = Log(one.world)
        with one.client():
            put("first")
            number, seen = 0, [0]
            while seen[0] >= number:
                number += STRIDE
                log.begins()
                with at_line(number) as seen:
                    did = did_run(put, f"{number}")
                log.over(did=did)
                put("more")
        found = log.stages()
        places = [STAGES.index(stage) for stage, _ in found]
        assert places == sorted(places)
        assert {0, 1, 3} <= set(places)
        assert all(stage in STAGES[2:] for stage, did in found if did)

    distant(tmp_path, work, monkeypatch)


def test_law_7_a_call_that_is_interrupted_again_and_again_is_told_by_the_next_one_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        log = Log(one.world)
        with one.client() as client:
            put("first")
            for where, times in WAYS:
                number, seen = 0, [0]
                while seen[0] >= number:
                    if number < 3:
                        vars(client)["_afar"]._token = None  # noqa: SLF001 - the first steps are those to one
                    log.begins()
                    with interrupting(client, **{where: range(number, number + times)}) as seen:
                        did = did_run(put, f"{where} {times} {number}")
                    log.over(did=did)
                    put("more")
                    assert not owed(client)
                    number += 1
                assert number > 3
        for stage, did in log.stages():
            assert stage in (("unknown", "succeeded") if did else ("nothing", "not-sent"))

    distant(tmp_path, work, monkeypatch)


def test_law_7_what_is_cancelled_at_any_step_is_told_behind_its_caller_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        log = Log(one.world)

        async def story() -> None:
            async with one.async_client() as client:
                await note_later("first")
                for where, times in CANCELS:
                    number, seen = 0, [0]
                    while seen[0] >= number:
                        ran.clear()
                        log.begins()
                        with cancelling(client, **{where: range(number, number + times)}) as seen:
                            call = asyncio.ensure_future(note_later(f"{where} {times} {number}"))
                            await asyncio.wait((call,))
                        await nothing_left(client, alive=True)
                        log.over(did=bool(ran))
                        number += 1
                    assert number > 2

        asyncio.run(story())
        for stage, did in log.stages():
            assert stage in (("succeeded",) if did else ("nothing", "not-sent"))

    distant(tmp_path, work, monkeypatch)


@pytest.mark.parametrize("kind", [ActionPermitted, OutcomeTaken])
def test_law_7_what_is_cancelled_while_the_daemon_answers_is_told_before_the_client_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    def work(one: Distant) -> None:
        async def story() -> None:
            async with one.async_client():
                await note_later("first")
                asked = asyncio.ensure_future(note_later("second"))
                loop = asyncio.get_running_loop()
                send = SocketServer._answer  # noqa: SLF001 - the seam of the moment

                def answer(self: Any, number: int, said: Any) -> None:
                    if isinstance(said, kind):
                        loop.call_soon_threadsafe(asked.cancel)
                    send(self, number, said)

                monkeypatch.setattr(SocketServer, "_answer", answer)
                with pytest.raises(asyncio.CancelledError):
                    await asked
                monkeypatch.setattr(SocketServer, "_answer", send)

        asyncio.run(story())
        second = "not-sent" if kind is ActionPermitted else "succeeded"
        assert outcomes(one.world) == ["succeeded", second]

    distant(tmp_path, work, monkeypatch)


def test_what_is_owed_is_told_for_as_long_as_a_token_can_be_had_and_then_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        client = one.client()
        with interrupting(client, before=range(3, 6)):
            assert did_run(using(client))
        assert owed(client) == 1
        one.world.tasks.end("default", one.task, TaskEvent.COMPLETE, ANN, reason="done")
        with pytest.raises(OutcomeUntoldError, match="succeeded") as caught:
            client.close()
        assert caught.value.over
        assert outcomes(one.world) == []

    distant(tmp_path, work, monkeypatch)


class Reading:
    """A program's own `read`, that fails where it is told to."""

    def __init__(self, one: Distant) -> None:
        self._read = one.told().proof.read  # type: ignore[union-attr]  # it has one
        self.error: BaseException | None = None

    def __call__(self) -> str:
        if self.error is not None:
            raise self.error
        return self._read()  # type: ignore[return-value]  # it gives a text at once


def reading(one: Distant) -> tuple[Client, Reading]:
    """A client whose proof is such a program's."""
    read = Reading(one)
    told = ClientSettings(origin=one.origin, task=one.task, proof=Proof(kind="assertion", read=read))
    return Client(told, Here(socket=Path("/nowhere"), clock=one.now)), read


def test_law_7_what_a_programs_own_proof_raises_while_an_outcome_is_told_is_an_outcome_that_is_untold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afar, "_OWED", 0.3)

    def work(one: Distant) -> None:
        client, read = reading(one)

        @client.guard(server="notes", tool="fail", effect="write")
        def last(text: str) -> str:
            """Fail, with a secret in the words."""
            read.error = ValueError("a secret")
            vars(client)["_afar"]._token = None  # noqa: SLF001 - its time is over
            return text

        with pytest.raises(OutcomeUntoldError, match="ValueError") as caught:
            last("x")
        assert caught.value.outcome == "succeeded"
        assert caught.value.__cause__ is read.error
        assert "a secret" not in caught.value.message
        assert outcomes(one.world) == []
        read.error = None  # whoever gives it is there again
        client.close()
        assert outcomes(one.world) == ["succeeded"]

    distant(tmp_path, work, monkeypatch)


def test_what_a_programs_own_proof_raises_before_a_call_is_one_named_error_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        client, read = reading(one)
        read.error = ValueError("a secret")
        with pytest.raises(UnreadableProofError, match="ValueError") as caught:
            using(client)("x")
        assert caught.value.__cause__ is read.error
        assert ran == []
        client.close()

    distant(tmp_path, work, monkeypatch)


def test_law_7_a_client_that_is_closed_while_a_function_runs_is_an_outcome_that_is_untold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afar, "_OWED", 0.3)

    def work(one: Distant) -> None:
        client = one.client()

        @client.guard(server="notes", tool="fail", effect="write")
        def last(text: str) -> str:
            """Fail, with a secret in the words."""
            closing = threading.Thread(target=client.close)
            closing.start()
            closing.join()
            return text

        with pytest.raises(OutcomeUntoldError, match="was closed"):
            last("x")

    distant(tmp_path, work, monkeypatch)


def test_who_is_interrupted_hears_of_that_and_not_of_what_is_told_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client() as client:

            @guard(server="notes", tool="fail", effect="write")
            def stopped(text: str) -> str:
                """Fail, with a secret in the words."""
                raise KeyboardInterrupt(text)

            with pytest.raises(KeyboardInterrupt):
                stopped("x")
            assert owed(client) == 0
        assert outcomes(one.world) == ["unknown"]

    distant(tmp_path, work, monkeypatch)


def test_a_question_that_was_never_sent_is_not_asked_anew_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client() as client:
            for step in range(2):  # a proof is read, and a token asked for
                with interrupting(client, before=[step]):
                    assert not did_run(using(client))
                assert owed(client) == 0
        assert decided(one.world) == 0

    distant(tmp_path, work, monkeypatch)


def test_a_question_is_asked_again_under_its_own_key_alone_and_none_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client() as client:
            put("first")
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(put.using(idempotency_key="monday"))
            put("more")
            assert outcomes(one.world) == ["succeeded", "succeeded"]
            with pytest.raises(RepeatedError) as caught:
                put.using(idempotency_key="monday")("x")
            assert caught.value.state == "permitted"
            with interrupting(client, behind=[0], before=[1]):
                assert not did_run(put, "y")
            with answering((NotPermitted,), BUSY, times=1):
                client._owed.tell()  # noqa: SLF001 - as a sign of life does
            assert owed(client) == 1
            put("less")
            assert owed(client) == 0
        assert outcomes(one.world) == ["succeeded", "succeeded", "not-sent", "succeeded"]

    distant(tmp_path, work, monkeypatch)


def test_an_outcome_is_told_with_a_token_that_has_little_time_left_where_none_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        client, read = reading(one)

        @client.guard(server="notes", tool="fail", effect="write")
        def last(text: str) -> str:
            """Fail, with a secret in the words."""
            read.error = ValueError()
            kept = vars(client)["_afar"]
            kept._token = replace(kept._token, renew=0.0)  # noqa: SLF001 - its time has come
            return text

        assert last("x") == "x"
        client.close()
        assert outcomes(one.world) == ["succeeded"]

    distant(tmp_path, work, monkeypatch)


def test_a_cancelled_question_whose_answer_is_lost_is_asked_again_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        async def story() -> None:
            async with one.async_client() as client:
                await note_later("first")
                call = asyncio.ensure_future(note_later("x"))
                loop = asyncio.get_running_loop()
                send = SocketServer._answer  # noqa: SLF001 - the seam of a loss

                def lose(self: Any, number: int, said: Any) -> None:
                    if isinstance(said, ActionPermitted):
                        monkeypatch.setattr(SocketServer, "_answer", send)
                        loop.call_soon_threadsafe(call.cancel)
                        self.connection_lost(None)
                        self._transport.abort()
                    else:
                        send(self, number, said)

                monkeypatch.setattr(SocketServer, "_answer", lose)
                with pytest.raises(asyncio.CancelledError):
                    await call
                await nothing_left(client)

        asyncio.run(story())
        assert outcomes(one.world) == ["succeeded", "not-sent"]
        assert len({each["action"] for each in one.world.events("action-decided")}) == 2

    distant(tmp_path, work, monkeypatch)
