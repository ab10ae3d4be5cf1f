"""Step 10: a part of the task is delegated; parent and child together keep the parent's limits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.scope import parse_scope
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.demo.calls import payment, require
from taskbound.surfaces.cli.demo.setting import freight
from taskbound.surfaces.cli.demo.world import AGENT, HELPER
from taskbound.wire.task import DelegateTask, ShowTask, TaskDetail

if TYPE_CHECKING:
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World
    from taskbound.wire.connection import Fault


_PAY: Final = "payments__pay"
_TOTAL: Final = "g0/total/amount"
_PAID_BEFORE: Final = Decimal(400)
_WHOLE: Final = Decimal(1000)
_BEFORE: Final = 60_000
"""Cents that the parent has left."""
_HANDED_ON: Final = 50_000


async def carved(world: World, scene: Scene) -> None:
    """Show that with 600 left, 600.01 can't be delegated, 500 can, and taking turns gains nothing."""
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
    left, _ = world.left(_TOTAL)
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
