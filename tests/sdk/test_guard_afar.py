from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.flows.token.revoking import revoke_token
from taskbound.sdk.guard import errors
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.guard.holder import ApiLostError, NoTokenError, PlainHttpError
from taskbound.sdk.guard.proof import Proof
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import ActionPermitted, OutcomeTaken
from tests.sdk.noted import note, note_later, ran, spend
from tests.sdk.notes import Here, held_world, outcomes
from tests.sdk.notes_afar import Distant, distant
from tests.world import ANN


def test_a_permitted_call_runs_once_and_its_outcome_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client():
            assert note("hello", tags=["a"]) == "noted hello"
            assert note("more") == "noted more"
        assert ran == [("hello", ["a"]), ("more", None)]
        assert outcomes(one.world) == ["succeeded", "succeeded"]
        assert len(one.world.events("token-issued")) == 1  # kept, and not got anew for each

    distant(tmp_path, work, monkeypatch)


def test_what_is_awaited_is_asked_for_over_http_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        async def story() -> None:
            async with one.async_client():
                assert await note_later("hello") == "noted hello"
                found = await asyncio.gather(*(note_later(f"note {number}") for number in range(8)))
            assert found == [f"noted note {number}" for number in range(8)]

        asyncio.run(story())
        assert outcomes(one.world) == ["succeeded"] * 9

    distant(tmp_path, work, monkeypatch)


def test_a_refusal_says_why_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        with one.client():
            with pytest.raises(errors.RefusedError) as caught:
                note("else")
            error = caught.value
            assert (type(error), error.code) == (errors.RefusedError, "outside-scope")
            assert error.reasons
            assert error.remedy
            assert error.action.startswith("act_")

            @guard(server="notes")
            def scratch(text: str) -> str:
                """Scratch."""
                return text

            with pytest.raises(errors.UnpinnedToolError) as unpinned:
                scratch("x")
            assert '"name": "scratch"' in unpinned.value.tool_file

            @guard(server="notes", tool="fail", effect="read")
            def changed(text: str) -> str:
                """Fail, with a secret in the words."""
                ran.append(text)
                return text

            with pytest.raises(errors.UnpinnedToolError, match="another definition"):
                changed("x")
        assert ran == []
        assert outcomes(one.world) == ["not-sent"]

    distant(tmp_path, work, monkeypatch)


def waiting(work: Any) -> tuple[threading.Thread, list[Any]]:
    """This in a thread, and what came of it."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except TaskboundError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


@pytest.mark.parametrize("kind", [AnswerKind.APPROVE, AnswerKind.DENY])
def test_a_held_call_says_what_people_are_asked_and_goes_on_with_their_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: AnswerKind
) -> None:
    world, people = held_world()

    def work(one: Distant) -> None:
        with one.client():
            with pytest.raises(errors.HeldError) as caught:
                note("hello")
            assert caught.value.approval == people.approval(caught.value.action).question.id
            assert f"is waiting for approval by finance: {caught.value.approval}, until " in str(caught.value)

            def call() -> str:
                with one.client(wait=30):
                    return note("hello")

            thread, found = waiting(call)
            people.say(one.place, kind)
            thread.join()
        if kind is AnswerKind.APPROVE:
            assert found == ["noted hello"]
            assert outcomes(one.world) == ["succeeded"]
        else:
            assert [type(each) for each in found] == [errors.HoldDeniedError], found
            assert ran == []
        assert len(one.world.events("approval-asked")) == 1

    distant(tmp_path, work, monkeypatch, world=world)


def test_what_people_said_no_to_before_is_refused_at_once_however_long_one_would_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, people = held_world()

    def work(one: Distant) -> None:
        with one.client():
            with pytest.raises(errors.HeldError):
                note("hello")
            people.say(one.place, AnswerKind.DENY)
        with one.client(wait=30), pytest.raises(errors.HoldDeniedError) as caught:
            note("hello")
        assert caught.value.code == "approval-denied"
        assert len(one.world.events("action-decided")) == 2

    distant(tmp_path, work, monkeypatch, world=world)


def test_less_runs_over_http_for_who_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, people = held_world()

    def work(one: Distant) -> None:
        with one.client():
            with pytest.raises(errors.HeldError) as held:
                spend(500)
            people.narrow(one.place, held.value.action, {"amount": 20})
            with pytest.raises(errors.NarrowedError) as caught:
                spend(500)
            assert caught.value.arguments == {"amount": 20}
            assert ran == []
            assert spend.using(narrowed=True)(500) == 20
        assert ran == [20]

    distant(tmp_path, work, monkeypatch, world=world)


def test_law_7_a_key_runs_once_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        with one.client():
            once = note.using(idempotency_key="monday")
            once("hello")
            with pytest.raises(errors.RepeatedError) as caught:
                once("hello")
            assert caught.value.state == "succeeded"
        assert len(ran) == 1

    distant(tmp_path, work, monkeypatch)


def test_a_token_that_was_revoked_is_got_anew_and_the_call_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        tokens = one.one.one.tokens
        with one.client():
            note("hello")
            (row,) = tokens.rows()
            revoke_token(one.world.adapters, "default", row.id, ANN, owns=True, why="lost")
            note("more")
        assert len(one.world.events("token-issued")) == 2
        assert len(ran) == 2
        assert outcomes(one.world) == ["succeeded", "succeeded"]

    distant(tmp_path, work, monkeypatch)


def test_a_token_is_renewed_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        client = one.client()
        with client:
            note("hello")
            kept = vars(client)["_afar"]
            kept._token = replace(kept._token, renew=0.0)  # noqa: SLF001 - its time has come
            note("more")
        assert len(one.world.events("token-issued")) == 2
        assert not one.world.events("proof-refused")

    distant(tmp_path, work, monkeypatch)


def test_no_token_of_a_task_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        one.world.tasks.end("default", one.task, TaskEvent.COMPLETE, ANN, reason="done")
        with one.client(), pytest.raises(NoTokenError):
            note("hello")
        assert ran == []

    distant(tmp_path, work, monkeypatch)


def test_a_task_that_ends_while_the_function_runs_withholds_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        @guard(server="notes", tool="note", effect="write")
        def slow(text: str, tags: list[str] | None = None) -> str:
            """Write a note down."""
            ran.append((text, tags))
            one.world.tasks.end("default", one.task, TaskEvent.COMPLETE, ANN, reason="done")
            return text

        with one.client(), pytest.raises((errors.ResultWithheldError, errors.OutcomeUntoldError)):
            slow("hello")
        assert outcomes(one.world) != ["succeeded"]

    distant(tmp_path, work, monkeypatch)


@contextmanager
def losing(kind: type[Any]) -> Iterator[list[int]]:
    """The daemon's first answer of this kind is lost behind its commit, with the connection of the API."""
    send = SocketServer._answer  # noqa: SLF001 - the seam of a loss
    lost: list[int] = []

    def lose(self: Any, number: int, answer: Any) -> None:
        if isinstance(answer, kind) and not lost:
            lost.append(number)
            self.connection_lost(None)
            self._transport.abort()
        else:
            send(self, number, answer)

    SocketServer._answer = lose  # type: ignore[method-assign]  # noqa: SLF001 - it dies after the commit
    try:
        yield lost
    finally:
        SocketServer._answer = send  # type: ignore[method-assign]  # noqa: SLF001 - it is there again


def test_law_7_a_permit_whose_answer_was_lost_runs_nothing_and_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client():
            with (
                losing(ActionPermitted) as lost,
                pytest.raises(errors.CallUndecidedError, match="nothing was done"),
            ):
                note("hello")
            assert lost
            assert ran == []
            assert outcomes(one.world) == ["not-sent"]
            assert note("hello") == "noted hello"
        assert outcomes(one.world) == ["not-sent", "succeeded"]

    distant(tmp_path, work, monkeypatch)


def test_nothing_is_said_of_a_permit_under_a_key_of_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        once = note.using(idempotency_key="monday")
        with one.client():
            with losing(ActionPermitted), pytest.raises(errors.CallUndecidedError, match="was lost"):
                once("hello")
            with pytest.raises(errors.RepeatedError) as caught:
                once("hello")
        assert caught.value.state == "permitted"
        assert ran == []
        assert outcomes(one.world) == []

    distant(tmp_path, work, monkeypatch)


def test_an_outcome_whose_answer_was_lost_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        with one.client(), losing(OutcomeTaken) as lost:
            assert note("hello") == "noted hello"
        assert lost
        assert len(ran) == 1
        assert outcomes(one.world) == ["succeeded"]

    distant(tmp_path, work, monkeypatch)


@pytest.mark.parametrize("skew", [-600.0, 600.0])
def test_a_clock_that_is_wrong_gets_no_token_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    def work(one: Distant) -> None:
        one.skew = skew
        with one.client(), pytest.raises(NoTokenError):
            note("hello")
        assert ran == []

    distant(tmp_path, work, monkeypatch)


def test_a_question_that_is_cancelled_leaves_no_permit_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        async def story() -> None:
            client = one.async_client()
            async with client:
                await note_later("first")
                asked = asyncio.ensure_future(note_later("second"))
                loop = asyncio.get_running_loop()
                send = SocketServer._answer  # noqa: SLF001 - the seam of the moment

                def answer(self: Any, number: int, said: Any) -> None:
                    if isinstance(said, ActionPermitted):
                        loop.call_soon_threadsafe(asked.cancel)  # it is permitted, and nobody has heard so
                    send(self, number, said)

                monkeypatch.setattr(SocketServer, "_answer", answer)
                with pytest.raises(asyncio.CancelledError):
                    await asked

        asyncio.run(story())
        assert ran == ["first"]
        assert outcomes(one.world) == ["succeeded", "not-sent"]

    distant(tmp_path, work, monkeypatch)


def test_who_is_not_there_is_an_error_and_nothing_runs() -> None:
    told = ClientSettings(
        origin="http://127.0.0.1:1", task="tsk_1", proof=Proof(kind="token", read=lambda: "x")
    )
    with Client(told, Here(socket=Path("/nowhere"))), pytest.raises(ApiLostError) as caught:
        note("hello")
    assert caught.value.sent is False


@pytest.mark.parametrize(
    "origin", ["http://api.example", "https://", "https://api.example/v1", "ftp://127.0.0.1", "api.example"]
)
def test_no_token_is_sent_in_the_clear(origin: str) -> None:
    told = ClientSettings(origin=origin, task="tsk_1", proof=Proof(kind="token", read=lambda: "x"))
    with Client(told, Here(socket=Path("/nowhere"))), pytest.raises(PlainHttpError):
        note("hello")


def test_over_the_network_task_and_proof_are_said() -> None:
    proof = Proof(kind="token", read=lambda: "x")
    for told, words in (
        (ClientSettings(origin="https://a.example", proof=proof), "no task"),
        (ClientSettings(origin="https://a.example", task="tsk_1"), "nothing proves"),
    ):
        with Client(told, Here(socket=Path("/nowhere"))), pytest.raises(errors.NoTaskHereError, match=words):
            note("hello")


def test_a_proof_may_have_the_line_end_of_the_command_that_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        kept = one.proof()

        def read() -> str:
            return f" {kept.read()}\n"

        async def awaited() -> str:
            return read()

        told = one.told()
        here = Here(socket=Path("/nowhere"), clock=one.now)
        with Client(replace(told, proof=Proof(kind="assertion", read=read)), here) as client:
            assert note("hello") == "noted hello"
            client.close()

        async def later() -> None:
            async with AsyncClient(replace(told, proof=Proof(kind="assertion", read=awaited)), here) as other:
                assert await note_later("later") == "noted later"
                await other.close()

        asyncio.run(later())

    distant(tmp_path, work, monkeypatch)


def test_a_proof_of_no_kind_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="assertion, svid, token, and not `jwt`"):
        Proof(kind="jwt", read=lambda: "x")  # type: ignore[arg-type]  # what a program may say


def test_no_secret_is_in_a_repr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(one: Distant) -> None:
        client = one.client()
        with client:
            note("hello")
            kept = vars(client)["_afar"]
            assert kept._token.text not in repr(kept._token)  # noqa: SLF001 - it is looked at here
            assert kept._token.text not in repr(client)  # noqa: SLF001 - as above

    distant(tmp_path, work, monkeypatch)
