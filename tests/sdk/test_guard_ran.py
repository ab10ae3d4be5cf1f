"""A function that ran: whatever the daemon says then, nobody is told that nothing ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.task import TaskEvent
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.errors import CallUndecidedError, DecisionAlteredError, OutcomeUntoldError
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.surfaces.api.server.socket import NotOpenError, SocketServer
from taskbound.wire.action import Permitted, Released, Withheld
from taskbound.wire.connection import Bound, Fault, Opened
from tests.sdk.noted import note_later, ran
from tests.sdk.notes import async_client_at, client_at, noting, outcomes, within
from tests.sdk.notes_afar import Distant, distant
from tests.sdk.test_guard_altered import altering
from tests.surfaces.api.test_operations import Station
from tests.world import ANN, World

pytestmark = pytest.mark.anyio


@contextmanager
def answering(kinds: tuple[type[Any], ...], fault: Fault, *, times: int = 1000) -> Iterator[None]:
    """The daemon's next answers of these kinds are a fault."""
    send = SocketServer._send  # noqa: SLF001 - the seam of a daemon in trouble
    left = [times]

    def answer(self: Any, number: int, said: Any) -> None:
        if isinstance(said, kinds) and left[0]:
            left[0] -= 1
            said = fault
        send(self, number, said)

    SocketServer._send = answer  # type: ignore[assignment,method-assign]  # noqa: SLF001 - it is put back
    try:
        yield
    finally:
        SocketServer._send = send  # type: ignore[method-assign]  # noqa: SLF001 - as it was


BUSY = Fault(code="busy", message="too much at once", advice="try again", family="unavailable")
HELD = fault_of(NotOpenError("another process holds this connection", where="resume"))
"""The daemon has not seen yet that the connection before is gone."""
NO = Fault(code="agent-stopped", message="the agent is stopped", advice="ask", family="denied")


def ended(place: Station) -> None:
    """The task is over."""
    (task,) = {one["task"] for one in place.world.events("task-started")}
    place.world.tasks.end("default", task, TaskEvent.COMPLETE, ANN, reason="done")


def gone(client: Any) -> None:
    """The connection broke more than five seconds ago: it is another holder's from now on."""
    link = vars(client)["_link"]
    link._client.close()  # noqa: SLF001 - the connection breaks
    link._secret = ""  # noqa: SLF001 - time passes


async def test_law_7_a_function_that_ran_is_not_refused_when_its_task_ended_behind_a_lost_connection(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)

        @client.guard(server="notes", tool="fail", effect="write")
        def cut(text: str) -> str:
            """Fail, with a secret in the words."""
            ran.append(text)
            ended(place)
            gone(client)
            return text

        with pytest.raises(OutcomeUntoldError, match="no task") as caught:
            await within(lambda: cut("x"))
        assert caught.value.outcome == "succeeded"
        assert ran == ["x"]
        client.close()


async def test_law_7_what_is_awaited_and_ran_is_not_refused_either(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        client = async_client_at(place)

        @client.guard(server="notes", tool="note_later", effect="write")
        async def cut(text: str) -> str:
            """Write a note down, by and by."""
            ended(place)
            gone(client)
            return text

        with pytest.raises(OutcomeUntoldError, match="no task"):
            await cut("x")
        await client.close()


@pytest.mark.parametrize(("kind", "fault"), [(Opened, BUSY), (Bound, BUSY), (Opened, HELD)])
async def test_an_outcome_is_told_again_where_the_daemon_can_not_answer_now(
    tmp_path: Path, kind: type[Any], fault: Fault
) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)

        @client.guard(server="notes", tool="fail", effect="write")
        def cut(text: str) -> str:
            """Fail, with a secret in the words."""
            vars(client)["_link"]._client.close()  # noqa: SLF001 - the connection breaks
            busy.__enter__()
            return text

        busy = answering((kind,), fault, times=3)
        try:
            assert await within(lambda: cut("x")) == "x"
        finally:
            busy.__exit__(None, None, None)
        assert outcomes(place.world) == ["succeeded"]
        client.close()


@pytest.mark.parametrize("kind", [Opened, Bound])
async def test_a_call_is_undecided_and_not_refused_where_the_daemon_can_not_answer_now(
    tmp_path: Path, kind: type[Any]
) -> None:
    async with noting(tmp_path) as place:
        with answering((kind,), BUSY):
            async with async_client_at(place):
                with pytest.raises(CallUndecidedError, match="too much") as caught:
                    await note_later("hello")
        assert caught.value.code == "busy"
        assert ran == []


async def test_a_client_that_stands_in_another_task_meanwhile_says_that_the_function_ran(
    tmp_path: Path,
) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)

        @client.guard(server="notes", tool="fail", effect="write")
        def cut(text: str) -> str:
            """Fail, with a secret in the words."""
            link = vars(client)["_link"]
            link._client.close()  # noqa: SLF001 - the connection breaks
            lie.__enter__()
            link.task = "tsk_this"
            return text

        lie = altering(Bound, task="tsk_other")
        try:
            with pytest.raises(OutcomeUntoldError, match="tsk_other"):
                await within(lambda: cut("x"))
        finally:
            lie.__exit__(None, None, None)
        client.close()


NAMES = ["long" * 500, "two\nlines", ""]


@pytest.mark.parametrize("name", NAMES, ids=["long", "two lines", "none"])
async def test_an_error_is_told_by_its_types_name_whatever_a_program_calls_it(
    tmp_path: Path, name: str
) -> None:
    async with noting(tmp_path) as place:
        client = client_at(place)
        with pytest.raises(Named) as caught:
            await within(lambda: naming(client, name)("x"))
        assert not hasattr(caught.value, "__notes__")
        client.close()
        assert reasons(place.world) == [told_as(name)]


@pytest.mark.parametrize("name", NAMES, ids=["long", "two lines", "none"])
def test_an_error_is_told_by_its_types_name_over_http_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def work(one: Distant) -> None:
        with one.client() as client, pytest.raises(Named) as caught:
            naming(client, name)("x")
        assert not hasattr(caught.value, "__notes__")
        assert reasons(one.world) == [told_as(name)]

    distant(tmp_path, work, monkeypatch)


class Named(Exception):  # noqa: N818 - it is what a program calls it
    """What a program raises."""


def told_as(name: str) -> str:
    return name[:200].replace("\n", "?")


def naming(client: Client, name: str) -> Callable[[str], str]:
    """A function that raises an error of a type of this name."""

    @client.guard(server="notes", tool="fail", effect="write")
    def some(text: str) -> str:
        """Fail, with a secret in the words."""
        raise type(name, (Named,), {})(text)

    return some


def reasons(world: World) -> list[str]:
    return [one.get("reason", "") for one in world.events("action-outcome") if one["after"] == "unknown"]


async def test_a_permit_that_can_not_be_given_back_is_no_function_that_ran(tmp_path: Path) -> None:
    async with noting(tmp_path) as place:
        with altering(Permitted, digest="0" * 64), answering((Released, Withheld), NO):
            async with async_client_at(place):
                with pytest.raises(DecisionAlteredError, match="not what was asked") as caught:
                    await note_later("hello")
        assert "was not taken" in "".join(caught.value.__notes__)
        assert ran == []
