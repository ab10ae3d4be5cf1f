from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.task import TaskEvent, TaskState
from taskbound.sdk.guard import errors
from taskbound.sdk.guard.flow import drive
from taskbound.sdk.guard.holder import ApiLostError, NoTokenError
from taskbound.sdk.guard.proof import SubjectToken, UnreadableProofError
from taskbound.sdk.guard.web import AsyncWeb
from taskbound.wire.authorization import TokenGiven
from taskbound.wire.connection import Done
from tests.sdk.noted import note, note_later, ran
from tests.sdk.notes import CEILING, notes_world
from tests.sdk.notes_afar import Distant, Starting, distant
from tests.sdk.test_guard_afar import losing
from tests.world import ANN

Work = Callable[[Starting], None]


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Works with an agent that starts tasks in Ann's name."""

    def run(work: Work, *, policy: str = "", **kept: int) -> None:
        def within(one: Distant) -> None:
            here = Starting(one, **kept)
            try:
                work(here)
            finally:
                for client in here.clients:
                    client.close()

        distant(tmp_path, within, monkeypatch, world=notes_world(policy=policy))

    return run


def ends(one: Starting) -> list[tuple[str, str, str]]:
    """How what was started has ended, by whom and why."""
    names = {each["task"] for each in one.begun()}
    return [
        (each["after"], each["by"], each["reason"])
        for each in one.world.events("task-changed")
        if each["task"] in names
    ]


def test_a_task_is_started_for_a_person_and_ends_with_its_block(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("keep notes", template="notes") as task:
            assert note("hello") == "noted hello"
            assert not task.joined
        (begun,) = one.begun()
        assert (begun["task"], begun["by"], begun["template"]) == (task.id, "ann", "notes")
        assert (begun["heartbeat"], begun["grace"]) == (60, 60)
        assert "shown by agent:coder" in begun["proof"]
        with one.world.store.read() as snapshot:
            kept = snapshot.tasks.task("default", task.id)
        assert kept is not None
        assert task.deadline == kept.deadline // 1_000_000 * 1_000_000
        assert ends(one) == [("completed", "agent:coder", "")]
        with client, pytest.raises(errors.NoTaskHereError):
            note("behind it")
        assert ran == [("hello", None)]

    starting(work)


def test_what_is_awaited_runs_in_a_task_that_was_started_too(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        async def story() -> None:
            client = one.async_client()
            for text in ("first", "second"):
                async with client.task("keep notes", template="notes"):
                    await note_later(text)
            await client.close()

        asyncio.run(story())
        assert len(one.begun()) == 2
        assert [each[0] for each in ends(one)] == ["completed", "completed"]

    starting(work)


@pytest.mark.parametrize(
    ("left", "how"), [(ZeroDivisionError("kanarienvogel"), "failed"), (KeyboardInterrupt(), "cancelled")]
)
def test_what_left_the_block_says_how_it_ended_by_its_type_alone(
    starting: Callable[..., None], left: BaseException, how: str
) -> None:
    def work(one: Starting) -> None:
        with pytest.raises(type(left)), one.client().task("keep notes", template="notes"):
            raise left
        assert ends(one) == [(how, "agent:coder", type(left).__name__)]
        assert "kanarienvogel" not in str(one.world.records())

    starting(work)


def test_a_block_within_or_beside_another_is_refused(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with (
            client.task("keep notes", template="notes"),
            pytest.raises(errors.TaskNotStartedError),
            client.task("more notes", template="notes"),
        ):
            pass
        assert len(one.begun()) == 1

    starting(work)


def test_an_awaited_block_within_another_is_refused_too(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        async def story() -> None:
            client = one.async_client()
            async with client.task("keep notes", template="notes"):
                with pytest.raises(errors.TaskNotStartedError):
                    async with client.task("more notes", template="notes"):
                        pytest.fail("nothing runs")
            await client.close()

        asyncio.run(story())
        assert len(one.begun()) == 1

    starting(work)


def test_law_7_what_came_of_an_action_of_the_task_before_is_said_to_be_untold(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("keep notes", template="notes"):
            note("hello")
        action = one.world.events("action-decided")[-1]["action"]
        with client.task("more notes", template="notes"):
            held, web = vars(client)["_afar"], vars(client)["_web"]
            with pytest.raises(errors.OutcomeUntoldError) as caught:
                drive(held.tell(action, "succeeded"), web.perform)
        assert caught.value.over

    starting(work)


def without_key(one: Starting) -> SubjectToken:
    return SubjectToken(read=one.person)


def over(one: Starting) -> SubjectToken:
    text = one.person()
    one.world.clock.advance(301)
    return SubjectToken(read=lambda: text, key=one.pem)


def nonsense(one: Starting) -> SubjectToken:
    return SubjectToken(read=lambda: "eyJ", key=one.pem)


@pytest.mark.parametrize("made", [without_key, over, nonsense])
def test_a151_a_text_alone_or_one_that_is_over_starts_nothing_and_leaves_a_record(
    starting: Callable[..., None], made: Callable[[Starting], SubjectToken]
) -> None:
    def work(one: Starting) -> None:
        client = one.client(subject=made(one))
        with pytest.raises(errors.TaskNotStartedError) as caught, client.task("keep notes", template="notes"):
            pytest.fail("nothing runs")
        assert one.begun() == []
        assert "subject=" in caught.value.advice
        assert len(one.world.events("proof-refused")) == 1

    starting(work)


def test_a_key_that_can_not_be_read_is_told_by_name(tmp_path: Path) -> None:
    from taskbound.wiring.agent import _Outside  # noqa: PLC0415 -- the machine around a program

    for name, text in (("none.pem", None), ("words.pem", b"words")):
        if text is not None:
            (tmp_path / name).write_bytes(text)
        with pytest.raises(UnreadableProofError, match=name):
            _Outside().key(tmp_path / name)


def test_over_the_network_a_task_is_made_of_a_template(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        orders: list[Any] = [{"scope": {"grants": []}}, {"scope": {"grants": []}, "template": "notes"}, {}]
        for told in orders:
            with (
                pytest.raises(errors.TaskNotStartedError, match="template"),
                one.client().task("why", **told),
            ):
                pytest.fail("nothing runs")
        evidence = ["ticket:jira:PAY-7"]
        with (
            pytest.raises(errors.TaskNotStartedError, match="by a person"),
            one.client().task("why", template="notes", evidence=evidence),
        ):
            pytest.fail("nothing runs")
        with (
            pytest.raises(errors.TaskNotStartedError, match="none"),
            one.client().task("why", template="none"),
        ):
            pytest.fail("nothing runs")
        assert one.begun() == []

    starting(work)


def test_what_a_person_may_not_start_their_agent_does_not(starting: Callable[..., None]) -> None:
    rule = '@id("house:none") forbid (principal, action == Taskbound::Action::"task:start", resource);'

    def work(one: Starting) -> None:
        with pytest.raises(errors.TaskNotStartedError), one.client().task("why", template="notes"):
            pytest.fail("nothing runs")
        assert one.begun() == []
        (refused,) = one.world.events("operation-refused")
        assert refused["operation"] == "task:start"

    starting(work, policy=base_bundle() + rule)


def test_times_are_the_templates_at_most_and_are_told(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("keep notes", template="notes", seconds=86_400, heartbeat=600, grace=600):
            (begun,) = one.begun()
            assert (begun["heartbeat"], begun["grace"]) == (6, 30)
            with one.world.store.read() as snapshot:
                task = snapshot.tasks.task("default", begun["task"])
            assert task is not None
            assert task.deadline - task.started == 600 * 1_000_000
            assert vars(client)["_afar"].every == 2.0

    starting(work, heartbeat=6, grace=30)


def test_a_joined_task_is_heard_of_as_often_as_it_says(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        with one.client().task("keep notes", template="notes", heartbeat=9, grace=9) as task:
            joined = one.client(task=task.id)
            with joined.task("whatever") as same:
                assert (same.id, same.joined, same.deadline) == (task.id, True, task.deadline)
                assert vars(joined)["_afar"].every == 3.0
            assert one.states()[task.id] is TaskState.RUNNING
        assert one.states()[task.id] is TaskState.COMPLETED

    starting(work)


def test_who_joins_a_task_that_is_over_is_told_at_once(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        with one.client().task("keep notes", template="notes") as task:
            pass
        with pytest.raises(NoTokenError), one.client(task=task.id).task("whatever"):
            pytest.fail("nothing runs")

    starting(work)


def test_a_beginning_that_was_lost_is_not_begun_again_and_ends_by_itself(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with (
            losing(TokenGiven) as lost,
            pytest.raises(ApiLostError) as caught,
            client.task("keep notes", template="notes"),
        ):
            pytest.fail("nothing runs")
        assert lost
        assert "ends by itself" in caught.value.added_notes()[0]
        assert list(one.states().values()) == [TaskState.RUNNING]
        for seconds in (61, 61):
            one.world.clock.advance(seconds)
            one.one.place.daemon.watch.hear({})
            one.one.place.daemon.watch.look()
        assert list(one.states().values()) == [TaskState.EXPIRED]
        with client.task("keep notes", template="notes"):
            assert note("more") == "noted more"
        assert len(one.begun()) == 2

    starting(work)


def test_an_end_that_was_lost_is_said_again_and_is_one(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        with losing(Done) as lost, one.client().task("keep notes", template="notes"):
            note("hello")
        assert lost
        assert ends(one) == [("completed", "agent:coder", "")]

    starting(work)


def test_a_task_that_a_person_ended_or_paused_meanwhile_is_over_with_the_block(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        with one.client().task("keep notes", template="notes") as task:
            one.world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="enough")
            with pytest.raises((errors.RefusedError, NoTokenError)):
                note("late")
        assert one.states()[task.id] is TaskState.REVOKED
        client = one.client()
        with client.task("keep notes", template="notes") as task:
            one.world.tasks.end("default", task.id, TaskEvent.REVOKE, ANN, reason="enough")
            held = vars(client)["_afar"]
            held._token = replace(held._token, renew=0.0)  # noqa: SLF001 - it would be renewed by now
        assert one.states()[task.id] is TaskState.REVOKED
        with one.client().task("keep notes", template="notes") as task:
            one.world.tasks.pause("default", task.id, ANN, reason="lunch")
        assert one.states()[task.id] is TaskState.COMPLETED
        assert ran == []

    starting(work)


def test_a_rule_may_keep_agents_from_ending_their_tasks_and_the_block_says_so(
    starting: Callable[..., None],
) -> None:
    rule = '@id("house:no") forbid (principal, action == Taskbound::Action::"task:end-own", resource);'

    def work(one: Starting) -> None:
        with (
            pytest.raises(errors.TaskNotEndedError, match="operation-forbidden"),
            one.client().task("keep notes", template="notes"),
        ):
            pass
        assert list(one.states().values()) == [TaskState.RUNNING]
        error = KeyError("first")
        with pytest.raises(KeyError) as caught, one.client().task("keep notes", template="notes"):
            raise error
        assert "was not ended" in caught.value.__notes__[0]
        assert {each["operation"] for each in one.world.events("operation-refused")} == {"task:end-own"}

    starting(work, policy=base_bundle() + rule)


def test_a_block_that_is_cancelled_while_its_task_begins_leaves_none(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        async def story() -> None:
            client = one.async_client()
            asked = asyncio.Event()
            send = AsyncWeb._send  # noqa: SLF001 - to see that the question is under way

            async def slow(self: Any, what: Any) -> Any:
                asked.set()
                return await send(self, what)

            AsyncWeb._send = slow  # type: ignore[assignment, method-assign]  # noqa: SLF001 - as it was, but seen
            try:

                async def block() -> None:
                    async with client.task("keep notes", template="notes"):
                        pytest.fail("nothing runs")

                running = asyncio.get_running_loop().create_task(block())
                await asked.wait()
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                await client.close()
            finally:
                AsyncWeb._send = send  # type: ignore[method-assign]  # noqa: SLF001 - as it was

        asyncio.run(story())
        assert list(one.states().values()) == [TaskState.CANCELLED]

    starting(work)


def test_a_part_is_handed_to_another_agent_which_starts_its_own_task_beneath(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        one.world.add_agent("helper", ceiling=CEILING)
        one.one.one.keys.renew("default", "helper", actor=ANN, owns=True)
        coder = one.client()
        with coder.task("keep notes", template="notes") as above:
            text = coder.hand_to("helper")
            subject = SubjectToken(read=lambda: text)
            with pytest.raises(errors.NoTaskHereError), one.client(task=above.id).task("x"):
                one.client(origin="", task=above.id).hand_to("helper")
            helper = one.client(proof=one.one.proof("helper"), subject=subject)
            with helper.task("a part", template="notes") as part:
                assert note("less") == "noted less"
            assert note("more") == "noted more"
        first, second = one.begun()
        assert (second["parent"], second["agent"], second["requester"]) == (first["task"], "helper", "ann")
        assert second["task"] == part.id
        assert ends(one) == [("completed", "agent:helper", ""), ("completed", "agent:coder", "")]

    starting(work)


def test_a151_what_was_handed_to_one_agent_another_one_gets_nothing_for(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        for name in ("helper", "other"):
            one.world.add_agent(name, ceiling=CEILING)
            one.one.one.keys.renew("default", name, actor=ANN, owns=True)
        coder = one.client()
        with coder.task("keep notes", template="notes"):
            text = coder.hand_to("helper")
            other = one.client(proof=one.one.proof("other"), subject=SubjectToken(read=lambda: text))
            with pytest.raises(errors.TaskNotStartedError), other.task("a part", template="notes"):
                pytest.fail("nothing runs")
            with pytest.raises(NoTokenError):
                coder.hand_to("coder")
        assert len(one.begun()) == 1

    starting(work)


def test_a151_a_token_of_its_own_task_begins_no_other_one_and_ends_none(
    starting: Callable[..., None],
) -> None:
    def work(one: Starting) -> None:
        one.world.add_agent("helper", ceiling=CEILING)
        coder = one.client()
        with coder.task("keep notes", template="notes"):
            text = coder.hand_to("helper")
            again = one.client(subject=SubjectToken(read=lambda: text))
            with (
                pytest.raises(errors.TaskNotStartedError, match="own task"),
                again.task("a part", template="notes"),
            ):
                pytest.fail("nothing runs")
            assert list(one.states().values()) == [TaskState.RUNNING]
            assert note("hello") == "noted hello"

    starting(work)


def test_no_secret_of_a_subject_is_in_a_repr(starting: Callable[..., None]) -> None:
    def work(one: Starting) -> None:
        client = one.client()
        with client.task("keep notes", template="notes"):
            held = vars(client)["_afar"]
            for each in (held._token, one.told(), SubjectToken.from_file(one.pem)):  # noqa: SLF001 - looked at
                assert held._token.text not in repr(each)  # noqa: SLF001 - as above
                assert "BEGIN" not in repr(each)

    starting(work)
