from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.adapters.keys.sealing import AskerKey
from taskbound.core.credential import BadHandedError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.sdk.credential import CredentialDeniedError, OtherTaskBoundError, Task
from taskbound.sdk.wish import BadWishError, CredentialWish, TaskCredential
from taskbound.wire.action import Decide, Narrowed, Reason, Refused
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import Done, Fault, StopPush
from taskbound.wire.target import (
    AcknowledgeCredential,
    AwaitRenewal,
    EndCredential,
    Handed,
    Renewed,
    TakeCredential,
)
from tests.peers.handing import CANARY, HandingDaemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio
HELD = Refused(action="act_9", task="tsk_1", code="held", instead="a person has to lift this first (ann)")


async def using(daemon: HandingDaemon, work: Callable[[Task], Any], **more: str) -> Any:
    """What this does with a task's connection, in a thread of its own."""

    def run() -> Any:
        with Task.join(daemon.path, agent="helper", asker=AskerKey.generate, **more) as task:
            return work(task)

    return await asyncio.to_thread(run)


def take(task: Task) -> TaskCredential:
    with task.credential("orders-db", "reader", 60, tenant="red") as credential:
        return credential


async def test_a_credential_is_opened_acknowledged_and_ended_with_its_context(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        found = await using(daemon, take)
        assert found.environment() == {"PGHOST": "db.example", "PGUSER": "tb_x", "PGPASSWORD": CANARY}
        ask = daemon.made["crd_1"].decided
        assert (ask.tool, bytes(ask.arguments)) == (
            "orders-db__credential/reader",
            b'{"seconds":60,"tenant":"red"}',
        )
        asked = [type(one) for one in daemon.asks[-4:]]
        assert asked == [Decide, TakeCredential, AcknowledgeCredential, EndCredential]
        assert daemon.states == {"crd_1": "revoked"}


async def test_for_how_long_may_be_said_by_name(tmp_path: Path) -> None:
    def named(task: Task) -> None:
        with task.credential("orders-db", seconds=60, tenant="red"):
            pass

    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        await using(daemon, named)
        assert bytes(daemon.made["crd_1"].decided.arguments) == b'{"seconds":60,"tenant":"red"}'


async def test_a_target_alone_names_the_one_kind_that_the_task_may_have(tmp_path: Path) -> None:
    def alone(task: Task) -> str:
        with task.credential("orders-db") as found:
            return found.kind

    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        assert await using(daemon, alone) == "reader"
        for daemon.kinds, words in (([], "no kind"), (["reader", "writer"], "the kinds reader, writer")):
            with pytest.raises(BadWishError, match=words):
                await using(daemon, alone)
        assert len(daemon.made) == 1


async def test_i11_a_secret_is_in_no_repr(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        found = await using(daemon, take)
        assert CANARY not in repr(found)
        assert CANARY not in str(vars(type(found)))


async def test_each_request_has_a_key_of_its_own(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        await using(daemon, lambda task: (take(task), take(task)))
        first, second = (one.decided for one in daemon.made.values())
        assert first.recipient != second.recipient
        assert first.request != second.request


async def test_a_credential_is_ended_when_its_context_is_left_by_an_error(tmp_path: Path) -> None:
    def fail(task: Task) -> None:
        with task.credential("orders-db", "reader"):
            raise ZeroDivisionError

    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        with pytest.raises(ZeroDivisionError):
            await using(daemon, fail)
        assert daemon.states == {"crd_1": "revoked"}


async def test_who_can_not_end_it_is_told_so(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[EndCredential] = lambda _: Fault(code="no-task", message="the task has ended")
        with pytest.raises(RefusedByDaemonError, match="the task has ended"):
            await using(daemon, take)

        def fail(task: Task) -> None:
            with task.credential("orders-db", "reader"):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as caught:
            await using(daemon, fail)
        assert "could not be ended" in caught.value.__notes__[0]


async def test_what_was_handed_to_another_is_not_acknowledged_and_given_back_at_once(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:

        def other(ask: TakeCredential) -> Handed:
            real = daemon.made[ask.credential]
            mine = msgspec.structs.replace(real.decided, recipient=AskerKey.generate().public)
            real.decided = mine
            return daemon.hand_out(ask)

        daemon.on[TakeCredential] = other
        with pytest.raises(BadHandedError):
            await using(daemon, take)
        assert daemon.count(AcknowledgeCredential) == 0
        assert daemon.states == {"crd_1": "revoked"}


async def test_what_is_minted_for_longer_than_one_question_waits_is_asked_for_again(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        answers = [Fault(code="still-minting", message="the broker is still at it")] * 2

        def slow(ask: TakeCredential) -> Any:
            return answers.pop() if answers else daemon.hand_out(ask)

        daemon.on[TakeCredential] = slow
        assert (await using(daemon, take)).secret == {"PGPASSWORD": CANARY}
        assert daemon.count(TakeCredential) == 3


async def test_nobody_has_it_where_it_could_not_be_acknowledged(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[AcknowledgeCredential] = lambda _: Fault(code="hand-out-over", message="too late")
        with pytest.raises(RefusedByDaemonError, match="too late"):
            await using(daemon, take)


async def test_what_the_task_does_not_get_says_why(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        reasons = (Reason(code="outside-scope", text="no grant covers it"),)
        daemon.on[Decide] = lambda _: Refused(
            action="act_1", task="tsk_1", code="outside-scope", instead="ask for less", reasons=reasons
        )
        with pytest.raises(CredentialDeniedError, match="no grant covers it") as caught:
            await using(daemon, take)
        assert (caught.value.refused.code, caught.value.advice) == ("outside-scope", "ask for less")


async def test_who_asks_in_a_target_that_gives_nothing_is_told_to_look_at_it(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[Decide] = lambda _: Refused(
            action="act_1", task="tsk_1", code="unknown-tool", instead="use a tool that tools/list names"
        )
        with pytest.raises(CredentialDeniedError) as caught:
            await using(daemon, take)
        assert "taskbound target list" in caught.value.advice


async def test_people_are_waited_for_and_what_they_lifted_is_asked_for_by_the_held_action(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:

        def decide(ask: Decide) -> Any:
            if ask.resume == "act_9":
                return daemon.permit_credential(ask)
            asyncio.get_running_loop().call_soon(daemon.push, HoldPush(action="act_9", state="approved"))
            return HELD

        daemon.on[Decide] = decide
        said: list[Refused] = []
        wish = CredentialWish(target="orders-db", kind="reader")
        found = await using(daemon, lambda task: task.obtain(wish, said.append))
        assert (found.id, said) == ("crd_1", [HELD])
        first, second = (ask for ask in daemon.asks if isinstance(ask, Decide))
        assert (first.recipient, first.request, second.wait) == (second.recipient, second.request, 45)


@pytest.mark.parametrize(
    ("state", "code"), [("denied", "approval-denied"), ("expired", "hold-over"), ("withdrawn", "hold-over")]
)
async def test_what_people_refused_is_not_asked_for_again(tmp_path: Path, state: str, code: str) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:

        def decide(_: Decide) -> Any:
            push = HoldPush(action="act_9", state=state, reason="not today")
            asyncio.get_running_loop().call_soon(daemon.push, push)
            return HELD

        daemon.on[Decide] = decide
        with pytest.raises(CredentialDeniedError, match=f"not today \\[{code}\\]"):
            await using(daemon, take)
        assert daemon.count(Decide) == 1


async def test_a_narrower_answer_is_what_is_asked_for_then(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:

        def decide(ask: Decide) -> Any:
            if ask.resume == "act_10":
                return daemon.permit_credential(ask)
            return Narrowed(
                action="act_10", task="tsk_1", arguments=msgspec.Raw(b'{"seconds":5}'), changed=()
            )

        daemon.on[Decide] = decide
        await using(daemon, take)
        assert bytes(daemon.made["crd_1"].decided.arguments) == b'{"seconds":5}'


async def test_who_is_interrupted_while_people_are_waited_for_leaves_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[Decide] = lambda _: HELD
        daemon.on[LeaveHold] = lambda _: Done()

        def interrupt(_: Refused) -> None:
            def broken(*_: object) -> Any:
                raise KeyboardInterrupt

            monkeypatch.setattr("taskbound.sdk.client.select.poll", broken)

        def work(task: Task) -> None:
            try:
                task.obtain(CredentialWish(target="orders-db", kind="reader"), interrupt)
            except KeyboardInterrupt:
                return
            raise AssertionError

        await using(daemon, work)
        assert (await daemon.asked(LeaveHold)).action == "act_9"


async def test_what_is_said_of_everything_else_while_people_are_waited_for_is_kept(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:

        def decide(ask: Decide) -> Any:
            if ask.resume:
                return daemon.permit_credential(ask)
            loop = asyncio.get_running_loop()
            loop.call_soon(daemon.push, StopPush(stopped=True))
            loop.call_soon(daemon.push, HoldPush(action="act_9", state="approved"))
            return HELD

        daemon.on[Decide] = decide
        heard = await using(daemon, lambda task: (take(task), list(task.heard))[1])
        assert heard == [StopPush(stopped=True)]


async def test_who_ended_it_is_told_how_it_stands_until_it_is_gone(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.revokes = False

        def work(task: Task) -> tuple[str, str]:
            found = task.obtain(CredentialWish(target="orders-db", kind="reader"))
            before = task.gone(found.id, patience=0).state
            daemon.revokes = True
            return before, task.gone(found.id, patience=20).state

        assert await using(daemon, work) == ("revoking", "revoked")


async def test_a_process_that_stands_in_another_task_than_the_one_named_asks_for_nothing(
    tmp_path: Path,
) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        with pytest.raises(OtherTaskBoundError, match="tsk_1"):
            await using(daemon, take, task="tsk_2")
        assert daemon.opened[0].task == "tsk_2"
        assert daemon.count(Decide) == 0


async def test_a_daemon_that_is_gone_while_it_mints_is_an_error_and_no_credential(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        with daemon.holding(TakeCredential) as held:
            asking = asyncio.ensure_future(using(daemon, take))
            await held.next()
            daemon.drop()
            with pytest.raises(DaemonLostError):
                await asking


@pytest.mark.parametrize(
    ("target", "kind", "seconds", "parameters"),
    [
        ("orders-db", "", 0, {}),
        ("orders-db", "Reader", 0, {}),
        ("orders-db", "reader__x", 0, {}),
        ("", "reader", 0, {}),
        ("Orders DB", "reader", 0, {}),
        ("orders-db", "reader", -1, {}),
        ("orders-db", "reader", 0, {"seconds": "5"}),
    ],
)
def test_what_can_be_no_credential_is_not_asked_for(
    target: str, kind: str, seconds: int, parameters: dict[str, str]
) -> None:
    with pytest.raises(BadWishError):
        CredentialWish(target=target, kind=kind, seconds=seconds, parameters=parameters)


def test_a_program_that_asks_for_no_credential_loads_no_cryptography() -> None:
    code = (
        "import sys, taskbound.sdk.credential\n"
        "print(sorted({one.partition('.')[0] for one in sys.modules} & {'cryptography', 'joserfc'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# --- renewing --------------------------------------------------------------------------------


def renew(task: Task) -> TaskCredential:
    with task.credential("orders-db", "reader", 60, tenant="red") as credential:
        return credential.renew(30)


async def test_i09_a_renewal_is_asked_for_with_the_same_parameters_and_no_key(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.ends, daemon.renewed = 1, 2
        found = await using(daemon, renew)
        assert (found.ends, found.id, found.secret) == (2, "crd_1", {"PGPASSWORD": CANARY})
        _, asked = (one for one in daemon.asks if isinstance(one, Decide))
        assert (asked.tool, asked.recipient) == ("orders-db__credential/reader", "")
        assert bytes(asked.arguments) == b'{"renews":"crd_1","seconds":30,"tenant":"red"}'
        assert daemon.count(AwaitRenewal) == 1
        assert daemon.states == {"crd_1": "revoked"}


async def test_what_is_renewed_for_longer_than_one_question_waits_is_asked_for_again(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        answers = [Fault(code="still-renewing", message="the broker is still at it")] * 2
        daemon.on[AwaitRenewal] = lambda ask: (
            answers.pop() if answers else Renewed(credential=ask.credential, ends=7)
        )
        assert (await using(daemon, renew)).ends == 7
        assert daemon.count(AwaitRenewal) == 3


async def test_a_renewal_that_is_refused_or_that_the_target_does_not_make_is_an_error(tmp_path: Path) -> None:
    async with HandingDaemon(tmp_path / "d.sock") as daemon:
        daemon.on[AwaitRenewal] = lambda _: Fault(code="renewal-failed", message="it ends when it did")
        with pytest.raises(RefusedByDaemonError, match="it ends when it did"):
            await using(daemon, renew)
        permit = daemon.on[Decide]
        daemon.on[Decide] = lambda ask: (
            Refused(action="act_2", task="tsk_1", code="renewal-not-later", instead="wait", reasons=())
            if b"renews" in bytes(ask.arguments)
            else permit(ask)
        )
        with pytest.raises(CredentialDeniedError, match="renewal-not-later"):
            await using(daemon, renew)
        assert set(daemon.states.values()) == {"revoked"}


def test_what_nobody_is_connected_for_is_renewed_by_nobody() -> None:
    alone = TaskCredential(id="crd_1", target="orders-db", kind="reader", ends=1, open={}, secret={})
    with pytest.raises(BadWishError):
        alone.renew()
    with pytest.raises(BadWishError):
        CredentialWish(target="orders-db", kind="reader", parameters={"renews": "crd_1"})
