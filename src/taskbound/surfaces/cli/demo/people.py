"""Steps 8 and 11: a payment that another person approves, and a repeat after an unknown outcome."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.ports.process import send_signal, started_of
from taskbound.surfaces.cli.demo.calls import payment, require
from taskbound.surfaces.cli.demo.keys import answer
from taskbound.surfaces.cli.demo.setting import LARGE, second_task
from taskbound.surfaces.cli.demo.world import APPROVER, PERSON, tried_of, words_of
from taskbound.wire.approval import ApprovalDetail, ApprovalRows, ListApprovals, ShowApproval

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.core.action import JsonValue
    from taskbound.surfaces.cli.demo.agent import Answered
    from taskbound.surfaces.cli.demo.program import Said
    from taskbound.surfaces.cli.demo.report import Tried
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World
    from taskbound.wire.action import ActionDetail


_PAY: Final = "payments__pay"
_LATE: Final = 40
_PATIENCE: Final = 20.0


async def approved_once(world: World, scene: Scene) -> None:
    """Show that a held payment runs once after a person other than the requester signs."""
    world.late.write_text("0", encoding="utf-8")
    second_task(world, scene)
    name, reference = LARGE, "invoice 2043"
    order = payment("blue-freight", 400, reference)
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        scene.require(f"policy `{name}` holds it", holds=name in held.policies)
        action = held.row.action
        question = world.client.ask(ShowApproval(approval=action), ApprovalDetail)
        scene.says("may sign", f"{', '.join(question.may_answer)}; the digest is {question.digest[:16]}…")
        scene.require("the requester may not, another person may", holds=question.may_answer == (APPROVER,))
        scene.proves("nothing was paid while it is held", holds=not world.books().named(reference))
        said = await answered_by(world, scene, "sign", action, PERSON)
        scene.says("refuse", f"{said.message} [{said.code}]")
        scene.proves("who asked for the task can't approve for it", holds=said.code == "not-entitled")
        said = await answered_by(world, scene, "sign", action, APPROVER)
        scene.require(f"the signature counts: {said.message}", holds=said.status == 0)
        got = await calling
    done = _told(world, scene, action, got)
    require(scene, done, "permit")
    scene.proves(
        "the held action itself ran, under its own id, and the ledger holds it once",
        holds=not got.error and done.state == "succeeded" and len(world.books().named(reference)) == 1,
    )
    async with held_call(world, scene, order) as (again, calling):
        require(scene, scene.tries[-1], "hold", "held")
        other = again.row.action
        scene.proves("the same call asks again: the approval is used up", holds=other != action)
        said = await answered_by(world, scene, "deny", other, APPROVER)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves("the ledger still holds it once", holds=len(world.books().named(reference)) == 1)


async def asked_after_unknown(world: World, scene: Scene) -> None:
    """Show that a repeat is held when the server died after the payment and before its answer."""
    world.late.write_text(str(_LATE), encoding="utf-8")
    reference = "invoice 2044"
    order = payment("acme-supplies", 90, reference)
    agent = await world.connect()
    scene.trying(_PAY, words_of(order.items()))
    before = world.watch.newest()
    calling = asyncio.create_task(agent.call(_PAY, order))
    try:
        await world.until_paid(reference)
        (running,) = world.watch.since(before)
        scene.tried(tried_of(running, ""))
        scene.says(
            "crash", f"the payments server {_kill_server(world)} is killed (SIGKILL) before it answers"
        )
        lost = await calling
    finally:
        calling.cancel()
    world.late.write_text("0", encoding="utf-8")
    detail = world.watch.action(running.row.action)
    scene.tries[-1] = tried_of(detail, lost.text)
    scene.says("withheld", f"{lost.text} [{lost.code}]")
    scene.proves("its outcome is on record as unknown", holds=lost.error and detail.row.state == "unknown")
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        paid = world.books().named(reference)
        scene.says("person", f"looks into the ledger, and finds it there as entry {paid[0].sequence}")
        said = await answered_by(world, scene, "deny", held.row.action, PERSON)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves(
        "the ledger holds it once: not knowing was not taken for a failure",
        holds=len(world.books().named(reference)) == 1,
    )
    await world.disconnect()


@asynccontextmanager
async def held_call(
    world: World, scene: Scene, order: dict[str, JsonValue]
) -> AsyncIterator[tuple[ActionDetail, asyncio.Task[Answered]]]:
    """Start a call that is held; yields the action and the pending call."""
    agent = await world.connect()
    scene.trying(_PAY, words_of(order.items()))
    before = world.watch.newest()
    calling = asyncio.create_task(agent.call(_PAY, order))
    try:
        end = time.monotonic() + _PATIENCE
        while not world.client.ask(ListApprovals(states=("pending",)), ApprovalRows).rows:
            if calling.done() or time.monotonic() > end:
                raise TimeoutError("the call was not held")
            await asyncio.sleep(0.05)
        (held,) = world.watch.since(before)
        scene.tried(tried_of(held, ""))
        yield held, calling
    finally:
        calling.cancel()


async def answered_by(world: World, scene: Scene, word: str, action: str, person: str) -> Said:
    """Answer a held action as this person, and print the result."""
    scene.says("runs", f"taskbound approval {word} {action} --key {person}")
    return await asyncio.to_thread(answer, world, word, action, person)


def _told(world: World, scene: Scene, action: str, got: Answered) -> Tried:
    scene.tries.pop()
    return scene.tried(tried_of(world.watch.action(action), got.text))


def told_denied(scene: Scene, got: Answered) -> None:
    """Fail the step unless the agent got the denial."""
    scene.says("answer", f"{got.text} [{got.code}]")
    scene.require("the agent receives the denial", holds=got.error and got.code == "approval-denied")


def _kill_server(world: World) -> int:
    wanted = {os.fsencode(world.parts.payments / "server.py"), os.fsencode(world.ledger)}
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            one = int(file.parent.name), started_of(int(file.parent.name))
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended since
        if wanted <= set(words):
            found.append(one)
    if len(found) != 1:
        raise ProcessLookupError(f"{len(found)} payments servers run")
    send_signal(found[0], signal.SIGKILL)
    return found[0][0]
