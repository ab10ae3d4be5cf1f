from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.keys.es256 import Es256Key
from taskbound.core.task import TaskState
from taskbound.sdk.guard.begun import given_up
from taskbound.sdk.guard.carried import Carried, carry, on
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import NotCarriedError, TaskNotEndedError
from taskbound.sdk.guard.flow import Flow, Pause, Run, drive
from taskbound.sdk.guard.holder import ApiLostError, HttpAnswer, NoTokenError
from taskbound.sdk.guard.owed import Debt
from taskbound.sdk.guard.proof import Proof, SubjectToken, UnreadableProofError
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.sdk.guard.web import AsyncWeb
from tests.sdk.notes import Here
from tests.sdk.notes_afar import Starting
from tests.sdk.test_guard_answers import DONE, GIVEN, Answer, answering
from tests.sdk.test_guard_begun import starting

__all__ = ["starting"]


def test_a_token_that_comes_when_its_task_is_over_does_not_take_the_place_of_the_next_ones(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("first", template="notes"):
            held, web = vars(client)["_afar"], vars(client)["_web"]
            late = held.join()  # of a thread that is slower than the block
            said = web.perform(late.send(web.perform(next(late))))
        with client.task("second", template="notes"):
            drive(going_on(late, said), web.perform)
        assert list(one.states().values()) == [TaskState.COMPLETED, TaskState.COMPLETED]

    starting(work)


def test_a_call_that_was_begun_in_one_task_does_not_go_on_in_the_next_one(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("first", template="notes"):
            held, web = vars(client)["_afar"], vars(client)["_web"]
            late = held.shown("POST", "/v1/actions", note_of("hello"))
            asked = next(late)
        with client.task("second", template="notes"):
            said: Any = web.perform(asked)
            assert said.status == 401
            assert drive(going_on(late, said), web.perform).status == 401
        assert one.world.events("action-decided") == []

    starting(work)


def going_on(flow: Flow[Any], said: Any) -> Flow[Any]:
    """A flow that was begun before, from what came of its first step on."""
    while True:
        try:
            step = flow.send(said)
        except StopIteration as over:
            return over.value
        said = yield step


def note_of(text: str) -> bytes:
    return b'{"arguments":{"tags":null,"text":"%b"},"tool":"notes__note"}' % text.encode()


@pytest.mark.parametrize("error", [False, True], ids=["as it should", "by an error"])
def test_a_block_that_is_cancelled_while_its_task_ends_leaves_none(
    starting: Callable[..., None], *, error: bool
) -> None:
    def work(one: Starting) -> None:
        async def story() -> None:
            client = one.async_client()
            asked = asyncio.Event()
            send = AsyncWeb._send  # noqa: SLF001 - to see that the end is under way

            async def seen(self: Any, what: Any) -> Any:
                if what.path == "/v1/task/end":
                    asked.set()
                return await send(self, what)

            AsyncWeb._send = seen  # type: ignore[assignment, method-assign]  # noqa: SLF001 - as it was, but seen
            try:

                async def block() -> None:
                    async with client.task("keep notes", template="notes"):
                        if error:
                            raise KeyError("x")

                running = asyncio.get_running_loop().create_task(block())
                await asked.wait()
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                await client.close()
            finally:
                AsyncWeb._send = send  # type: ignore[method-assign]  # noqa: SLF001 - as it was

        asyncio.run(story())
        expected = TaskState.FAILED if error else TaskState.COMPLETED
        assert list(one.states().values()) == [expected]

    starting(work)


def test_a_block_whose_beginning_fails_behind_its_cancellation_leaves_its_client_free(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        async def story() -> None:
            reading, go, tries = asyncio.Event(), asyncio.Event(), []

            async def read() -> str:
                tries.append(1)
                if len(tries) > 1:
                    return one.person()
                reading.set()
                await go.wait()
                raise ValueError("no such secret")

            client = one.async_client(subject=SubjectToken(read=read, key=one.pem))

            async def block() -> None:
                async with client.task("keep notes", template="notes"):
                    pass

            running = asyncio.get_running_loop().create_task(block())
            await reading.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            go.set()
            await asyncio.wait(vars(client)["_leaving"])
            await block()
            await client.close()

        asyncio.run(story())
        assert list(one.states().values()) == [TaskState.COMPLETED]

    starting(work)


RUN = Run(values=(), tool="notes__note", action="act_1", arguments=b"{}", debt=Debt())
SECRET = "eyJ.secret.text"


@pytest.mark.parametrize("text", [f"{SECRET}\n", f"{SECRET}\r\nX: y", f"{SECRET}é", "", 7])
def test_what_is_no_text_of_a_token_is_none_and_stands_in_no_error(text: object) -> None:
    given: Answer = (200, {}, {**GIVEN, "access_token": text})
    with answering(given, DONE, DONE) as one, pytest.raises(ApiLostError) as caught:
        one.begin()
    assert one.paths == ["/oauth/token"]
    assert SECRET not in "".join(chained(caught.value))
    assert "ends by itself" in caught.value.added_notes()[0]
    with answering(given, given) as one:
        client = one.client()
        client._afar.task = "tsk_1"  # noqa: SLF001 - as if it had been named
        with pytest.raises(NoTokenError):
            client.hand_to("helper")
        with pytest.raises(NotCarriedError):
            client.carry(RUN)
        client.close()


def chained(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), *getattr(error, "__notes__", ()))
        error = error.__cause__ or error.__context__


def test_threads_that_ask_at_once_speak_by_one_holder() -> None:
    made: list[Client] = []
    found: list[object] = []

    class Slow(Here):
        def key(self, file: Path | None) -> Es256Key:
            made.append(client)
            if len(made) == 1:
                other = threading.Thread(target=lambda: found.append(client._afar))  # noqa: SLF001 - as the calls of a thread
                other.start()
                other.join(timeout=0.2)  # it waits for this one, which is seen by that it does not end
                later.append(other)
            return super().key(file)

    later: list[threading.Thread] = []
    told = ClientSettings(
        origin="http://127.0.0.1:1", task="tsk_1", proof=Proof(kind="token", read=lambda: "proof")
    )
    client = Client(told, Slow(socket=Path("/nowhere")))
    held = client._afar  # noqa: SLF001 - as above
    later[0].join()
    assert found == [held]
    assert len(made) == 1


def test_a_file_that_holds_more_than_a_token_is_in_no_error(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbf" + SECRET.encode())
    for one in (Proof.from_file(path), SubjectToken.from_file(path)):
        with pytest.raises(UnreadableProofError) as caught:
            one.read()
        assert SECRET not in "".join(chained(caught.value))


def test_where_nothing_answers_an_end_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as one:
        client = one.client()
        held = client._afar  # noqa: SLF001 - its end is driven by hand
        now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        begun = json.dumps({**GIVEN, "expires_in": 300}).encode()
        held.keep(now, HttpAnswer(status=200, headers={}, body=begun), "")
        sent: list[object] = []

        def perform(step: object) -> None:
            nonlocal now
            if not isinstance(step, Pause):
                now += 20.0
                sent.append(step)
                raise ApiLostError("nobody", sent=True)

        with pytest.raises(TaskNotEndedError):
            drive(given_up(held, "completed", ""), perform)
        assert len(sent) == 1


def test_what_is_left_in_another_context_than_it_was_entered_in_ends_all_the_same() -> None:
    class Nobody:
        def carry(self, run: Run) -> Carried:
            raise AssertionError(run)

    block = on(Nobody(), RUN)
    copy_context().run(block.__enter__)
    assert copy_context().run(block.__exit__, None, None, None) is not True
    with pytest.raises(NotCarriedError):
        carry()


BAD_URLS = [
    "https://ann:secret@pay.example/pay",
    "https://bücher.example/pay",
    "https://pay.example/é",
    "/pay",
    "pay.example",
    "https://pay.example/a b",
    "https://pay.example/\r\nX: y",
    "https://pay.example:99999/",
    "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_no_proof_can_name_is_refused_without_its_words(url: str) -> None:
    proven: list[str] = []

    def prove(method: str, url: str) -> str:
        proven.append(f"{method} {url}")
        return "proof"

    carried = Carried(action="act_1", token="t", body=b"{}", prove=prove)
    with pytest.raises(NotCarriedError) as caught:
        carried.headers("POST", url)
    assert proven == []
    assert "secret" not in "".join(chained(caught.value))
    carried.headers("post", "https://Pay.Example:443/pay?x=1#y")
    assert proven == ["POST https://Pay.Example:443/pay"]
