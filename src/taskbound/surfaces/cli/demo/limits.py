"""Steps 1 to 7 and 10: the task's limits, delegation, crashes, changed servers and the end of the task."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.audit import ActionDecided, ActionOutcome, ActionRefusedMalformed
from taskbound.core.scope import parse_scope
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.demo.agent import RawClient
from taskbound.surfaces.cli.demo.parts import read_books
from taskbound.surfaces.cli.demo.scene import Tried
from taskbound.surfaces.cli.demo.setting import freight
from taskbound.surfaces.cli.demo.watching import kept_checkpoints
from taskbound.surfaces.cli.demo.world import AGENT, HELPER, tried_of, words_of
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.connection import Done
from taskbound.wire.task import DelegateTask, EndTask, ShowTask, TaskDetail
from taskbound.wire.tool import DiffTool, ListTools, ToolDiff, ToolRows

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Event
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World
    from taskbound.wire.connection import Fault


_PAY: Final = "payments__pay"
_TOTAL: Final = Decimal(1000)
_ORDER: Final = "Assistant:"
_PARSE_ERROR: Final = -32700
_TWICE: Final = (
    b'{"from_account":"operating","to_account":"acme-supplies","amount":1,"amount":250,'
    b'"currency":"EUR","reference":"invoice 2041 twice"}'
)
_PARTS: Final = (
    (250, True),
    (250, True),
    (240, True),
    (250, False),
    (10.01, False),
    (10, True),
    (0.01, False),
)
"""Amounts that are paid behind a first one of 250, and whether they fit into what is left of 1000."""


def payment(account: str, amount: float, reference: str) -> dict[str, JsonValue]:
    return {
        "from_account": "operating",
        "to_account": account,
        "amount": amount,
        "currency": "EUR",
        "reference": reference,
    }


def require(scene: Scene, tried: Tried, decision: str, code: str = "") -> None:
    """Fail the step unless the daemon decided this with this code."""
    told = f"{tried.decision} {tried.code}".strip()
    wanted = f"{decision} {code}".strip()
    scene.require(f"the decision is `{wanted}`, not `{told}`", holds=told == wanted)


async def permitted(world: World, scene: Scene) -> None:
    """Show that the task's calls succeed, and that only its tools are listed."""
    repository: JsonValue = str(world.repository)
    offered = await (await world.connect()).tools()
    pinned = world.client.ask(ListTools(), ToolRows).rows
    scene.says("reach", f"{len(pinned)} tools are pinned; the agent is shown {', '.join(offered)}")
    scene.require("fewer tools are shown than pinned", holds=0 < len(offered) < len(pinned))
    tried, answer = await world.call(scene, "git__git_status", {"repo_path": repository})
    require(scene, tried, "permit")
    scene.proves("the server's answer says `On branch main`", holds="On branch main" in answer.text)
    tried, answer = await world.call(scene, "git__git_log", {"repo_path": repository, "max_count": 5})
    require(scene, tried, "permit")
    world.log = answer.text
    scene.proves(
        f"the answer names all {len(world.commits)} commits, such as {world.commits[-1][:12]}…",
        holds=all(one in answer.text for one in world.commits),
    )
    order = payment("acme-supplies", 250, "invoice 2041 part 1")
    tried, answer = await world.call(scene, _PAY, order)
    require(scene, tried, "permit")
    world.paid = tried.action
    entries = world.books().named("invoice 2041 part 1")
    told = answer.structured if isinstance(answer.structured, dict) else {}
    scene.proves(
        "the ledger holds this payment once, under the number that the agent got",
        holds=len(entries) == 1 and entries[0].sequence == told.get("sequence"),
    )
    replay = world.watch.replay(tried.action)
    scene.proves(f"computed again from its record, the decision is the {replay}", holds=replay == "same")


async def refused(world: World, scene: Scene) -> None:
    orders = [one.strip() for one in world.log.splitlines() if _ORDER in one]
    scene.require("the log gives the agent orders", holds=bool(orders))
    scene.says("reads", shown(orders[0]))
    before = world.books()
    order: dict[str, JsonValue] = {
        "from_account": "operating-jpy",
        "to_account": "kyoto-paper",
        "amount": 900_000,
        "currency": "JPY",
        "reference": "invoice \x1b[2K\u202e9999",
    }
    tried, _ = await world.call(scene, _PAY, order)
    require(scene, tried, "refuse", "outside-scope")
    tried, answer = await world.call(scene, "git__git_log", {"repo_path": str(world.private)})
    require(scene, tried, "refuse", "outside-scope")
    scene.proves(
        "the answer names no commit of that repository",
        holds=answer.error and not any(one in answer.text for one in world.payroll),
    )
    after = world.books()
    scene.proves(
        f"the payments server has executed {after.calls} call, as before: nothing reached it",
        holds=after == before,
    )


async def duplicate_key(world: World, scene: Scene) -> None:
    """Show that a message with the amount twice is refused: readers disagree about which one counts."""
    before, start = world.books(), world.watch.size()
    line = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}\n'
    pairs: list[tuple[str, JsonValue]] = json.loads(_TWICE, object_pairs_hook=list)
    scene.trying(_PAY, words_of(pairs))
    async with RawClient(world.gateway, errors=world.errors) as client:
        answer = await client.ask(line % (_PAY.encode(), _TWICE), None)
    error = answer.get("error")
    found = world.watch.find(start, _is_malformed)
    if not isinstance(error, dict) or not isinstance(found, ActionRefusedMalformed):
        scene.require("the gateway answers with an error, and the log has a record of it", holds=False)
        return
    tried = Tried(
        tool=_PAY,
        arguments=_TWICE.decode(),
        decision="malformed",
        code=found.code,
        reasons=(str(error.get("message")),),
        grant="",
        policies=(),
        action="",
        state="",
        told=str(error.get("message")),
    )
    scene.tried(tried)
    require(scene, tried, "malformed", "duplicate-key")
    scene.require("it is answered as a parse error", holds=error.get("code") == _PARSE_ERROR)
    scene.says("record", f"{found.size} bytes with SHA-256 {found.digest[:16]}…, and no action")
    scene.proves("the payments server was sent nothing", holds=world.books() == before)
    await _without(world, scene, line % (b"pay", _TWICE))


def _is_malformed(event: Event) -> bool:
    return isinstance(event, ActionRefusedMalformed)


async def _without(world: World, scene: Scene, sent: bytes) -> None:
    ledger = world.place / "without.db"
    command = world.parts.payments_server(ledger, variant=world.variant, late=world.late)
    async with RawClient(command, errors=world.errors) as client:
        await client.ask(sent, 1)
    entries = read_books(world.parts, ledger).entries
    scene.proves(
        "asked without a gateway, the same server pays 250.00: the second of the two",
        holds=[one.amount for one in entries] == [Decimal(250)],
    )


async def split(world: World, scene: Scene) -> None:
    """Show that payments that fit singly are refused once together they exceed the task's total."""
    told: str | None = None
    for number, (amount, fits) in enumerate(_PARTS, start=2):
        order = payment("acme-supplies", amount, f"invoice 2041 part {number}")
        tried, answer = await world.call(scene, _PAY, order)
        require(scene, tried, *(("permit",) if fits else ("refuse", "exhausted")))
        if not fits and told is None:
            told = answer.text
            scene.says("answer", told)
    left, whole = world.left("g3/total/amount")
    scene.says("left", f"{left / 100:.2f} of {whole / 100:.2f}")
    paid = world.books().paid("acme-supplies")
    scene.proves(
        f"the ledger has paid {paid:.2f} to acme-supplies, exactly the limit and not a cent more",
        holds=paid == _TOTAL and left == 0,
    )


_CHILDREN_TOTAL: Final = "g0/total/amount"
_PAID_BEFORE: Final = Decimal(400)
_WHOLE: Final = Decimal(1000)
_BEFORE: Final = 60_000
"""Cents that the parent has left."""
_HANDED_ON: Final = 50_000


async def carved(world: World, scene: Scene) -> None:
    start = world.books().paid("blue-freight") - _PAID_BEFORE
    refused = _refused(world, scene, _BEFORE + 1)
    scene.says("refuse", f"{refused.message} [{refused.code}]")
    scene.require("its parent does not cover it", holds=refused.code == "outside-parent")
    parent = world.client.ask(ShowTask(task=world.task), TaskDetail)
    scene.proves(
        "no child was made, and nothing was taken", holds=not parent.children and _left(world) == _BEFORE
    )
    scene.says("person", f"hands on 500.00 of it to {HELPER}")
    child = _delegate(world, _HANDED_ON)
    scene.says("child", f"{child.row.task}, of {world.task}")
    scene.proves(
        "the parent has 100.00 left at once: what is handed on is taken",
        holds=_left(world) == _BEFORE - _HANDED_ON,
    )
    await _turn(world, HELPER)
    for number, (amount, fits) in enumerate(((250, True), (250, True), (0.01, False)), start=1):
        await _pays(world, scene, amount, f"invoice 2043 freight {number}", fits=fits)
    await _turn(world, AGENT)
    for number, (amount, fits) in enumerate(((100.01, False), (100, True), (0.01, False)), start=4):
        await _pays(world, scene, amount, f"invoice 2043 freight {number}", fits=fits)
    paid = world.books().paid("blue-freight") - start
    scene.proves(
        f"parent and child have paid {paid:.2f} together, exactly the parent's limit",
        holds=paid == _WHOLE and _left(world) == 0,
    )


async def _turn(world: World, agent: str) -> None:
    await world.disconnect()
    world.acting = agent


async def _pays(world: World, scene: Scene, amount: float, reference: str, *, fits: bool) -> None:
    tried, _ = await world.call(scene, _PAY, payment("blue-freight", amount, reference))
    require(scene, tried, *(("permit",) if fits else ("refuse", "exhausted")))


def _left(world: World) -> int:
    left, _ = world.left(_CHILDREN_TOTAL)
    return left


def _delegate(world: World, limit: int) -> TaskDetail:
    scope = msgspec.Raw(parse_scope({"grants": [freight(250, limit)]}).canonical)
    ask = DelegateTask(parent=world.task, agent=HELPER, purpose="pay the freight", scope=scope)
    return world.client.ask(ask, TaskDetail)


def _refused(world: World, scene: Scene, limit: int) -> Fault:
    scene.says("runs", f"taskbound task delegate, for {HELPER}: payments up to {limit / 100:.2f} in all")
    try:
        _delegate(world, limit)
    except RefusedByDaemonError as error:
        return error.fault
    scene.require("more than is left can't be handed on", holds=False)
    raise AssertionError


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
