"""Steps 5 to 7: crashes, a server that changes, and a task that ends during a call."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import ActionDecided, ActionOutcome
from taskbound.surfaces.cli.demo.calls import payment, require
from taskbound.surfaces.cli.demo.report import Tried
from taskbound.surfaces.cli.demo.watching import kept_checkpoints
from taskbound.surfaces.cli.demo.world import tried_of, words_of
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from taskbound.wire.tool import DiffTool, ToolDiff

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World


_PAY: Final = "payments__pay"
_KEY: Final = "invoice-2042"
_LATE: Final = 40
"""Seconds that the server's answer waits: longer than the step may take."""
_PATIENCE: Final = 20.0


async def once_across_a_restart(world: World, scene: Scene) -> None:
    """Show that a repeated idempotency key pays once, though gateway and daemon were killed."""
    order = payment("blue-freight", 120, "invoice 2042")
    first, answer = await world.call(scene, _PAY, order, key=_KEY)
    require(scene, first, "permit")
    killed = (await world.connect()).kill()
    await world.disconnect()
    _recorded(world, first.action)
    before = len(kept_checkpoints(world.monitor))
    also = world.end_daemon(signal.SIGKILL)
    scene.says("crash", f"gateway {killed} and daemon {also} are killed (SIGKILL)")
    start = world.watch.size()
    scene.trying(_PAY, f"{words_of(order.items())} (key {_KEY})")
    again = await (await world.connect()).call(_PAY, order, key=_KEY)
    event = world.watch.find(start, _is_duplicate)
    if not isinstance(event, ActionDecided):
        scene.require("the log has a record of a duplicate", holds=False)
        return
    scene.tried(
        Tried(
            tool=_PAY,
            arguments=first.arguments,
            decision=event.decision,
            code="",
            reasons=(f"this came before, as {event.action}: its stored answer is given again",),
            grant="",
            policies=(),
            action=event.action,
            state=world.watch.action(event.action).row.state,
            told=again.text,
        )
    )
    scene.require("it is the first action's answer", holds=event.action == first.action)
    scene.proves("the second answer is the first one's, to the byte of its text", holds=again == answer)
    entries = world.books().named("invoice 2042")
    scene.proves(f"the ledger holds {len(entries)} entry for it", holds=len(entries) == 1)
    tried, _ = await world.call(scene, _PAY, {**order, "amount": 121}, key=_KEY)
    require(scene, tried, "refuse", "key-reused")
    await _brought(world, before)
    await world.disconnect()


def _is_duplicate(event: Event) -> bool:
    return isinstance(event, ActionDecided) and event.decision == "duplicate"


def _recorded(world: World, action: str) -> None:
    world.watch.find(0, lambda event: isinstance(event, ActionOutcome) and event.action == action)


async def _brought(world: World, before: int) -> None:
    end = time.monotonic() + _PATIENCE
    while len(kept_checkpoints(world.monitor)) <= before:
        if time.monotonic() > end:
            raise TimeoutError("the monitor was brought no checkpoint")
        await asyncio.sleep(0.05)


async def changed_schema(world: World, scene: Scene) -> None:
    """Show that a tool is refused when its server offers a definition other than the pinned one."""
    before = world.books()
    world.variant.write_text("changed-schema", encoding="utf-8")
    order = payment("blue-freight", 30, "invoice 2042 toll")
    tried, _ = await world.call(scene, _PAY, order)
    require(scene, tried, "refuse", "tool-changed")
    offered = await (await world.connect()).tools()
    scene.says("reach", f"the agent is shown {', '.join(offered)}")
    scene.require(f"`{_PAY}` is not shown", holds=bool(offered) and _PAY not in offered)
    for words in world.client.ask(DiffTool(name=_PAY), ToolDiff).differences:
        scene.says("changed", words)
    scene.proves("the payments server was sent no call", holds=world.books() == before)
    scene.says("person", "looks at `taskbound tool diff`, accepts nothing, and has the server put back")
    world.variant.write_text("", encoding="utf-8")
    await world.disconnect()
    tried, _ = await world.call(scene, "payments__balance", {"account": "operating"})
    require(scene, tried, "permit")
    tried, _ = await world.call(scene, _PAY, order)
    require(scene, tried, "permit")
    found = world.client.ask(DiffTool(name=_PAY), ToolDiff)
    scene.proves("the tool is the pinned one again", holds=(found.state, found.differences) == ("pinned", ()))


async def ended_during_a_call(world: World, scene: Scene) -> None:
    """Show that a result is withheld when the task ends after the payment and before its answer."""
    world.late.write_text(str(_LATE), encoding="utf-8")
    order = payment("blue-freight", 80, "invoice 2042 express")
    agent = await world.connect()
    scene.trying(_PAY, words_of(order.items()))
    before = world.watch.newest()
    calling = asyncio.create_task(agent.call(_PAY, order))
    try:
        await world.until_paid("invoice 2042 express")
        (running,) = world.watch.since(before)
        scene.tried(tried_of(running, ""))
        scene.says("person", "sees it in the ledger, and ends the task while the answer is on its way")
        end = EndTask(task=world.task, how="revoked", reason="the person has seen enough")
        scene.says("task", f"{world.task} is {world.client.ask(end, Done).detail}")
        answer = await calling
    finally:
        calling.cancel()
    scene.says("withheld", f"{answer.text} [{answer.code}]")
    scene.require("the agent gets an error, and no result", holds=answer.error and not answer.structured)
    detail = world.watch.action(running.row.action)
    scene.tries[-1] = tried_of(detail, answer.text)
    scene.proves(
        "the action's outcome is on record as unknown, and never as failed: the money did move",
        holds=detail.row.state == "unknown" and len(world.books().named("invoice 2042 express")) == 1,
    )
    tried, _ = await world.call(scene, _PAY, payment("blue-freight", 1, "invoice 2042 rest"))
    require(scene, tried, "refuse", "task-ended")
    await world.disconnect()
