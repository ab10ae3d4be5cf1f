"""What is so of a model's calls in every framework: the scenarios have the same names in each program."""

from __future__ import annotations

import asyncio
from typing import Any

from taskbound.core.task import TaskEvent
from taskbound.sdk.guard.guarded import Guarded
from tests.house.tree import ROOT
from tests.sdk.notes import outcomes
from tests.surfaces.api.test_operations import Station
from tests.surfaces.network.test_acting_guide import blocks
from tests.waiting import others
from tests.world import ANN, World

NOTE_HELD = (
    '@id("asked:note") @hold("approval:finance")'
    ' forbid (principal, action == Taskbound::Action::"notes__note", resource);'
)


def arguments(world: World) -> list[bytes]:
    """What was decided, in order."""
    with world.store.read() as snapshot:
        return [one.arguments for one in sorted(snapshot.actions.actions("default"), key=lambda one: one.id)]


def offer(function: Guarded[..., Any]) -> dict[str, Any]:
    """What a model has to be offered: the schema that is pinned."""
    return {
        "name": function.tool,
        "description": function.definition["description"],
        "parameters": function.definition["inputSchema"],
    }


def require_calls(texts: list[str], world: World) -> None:
    """Go on only where nothing that a model said was made fit, dropped or filled in but by a default."""
    first, refused, text, twice, more, less, *rest = texts
    assert first == "noted hello"
    assert refused.startswith("Not run: `notes__note` is refused: ")
    assert "[outside-scope]. Instead: stay within that" in refused
    assert text.startswith("Not run: `amount` of `notes__spend` is not of its type")
    assert twice.startswith("Not run: the key `amount` stands more than once")
    assert more.startswith("Not run: `notes__spend` takes no `ctx`")
    assert less.startswith("Not run: `notes__spend` needs `amount`")
    assert rest[-1] == "5"
    assert arguments(world) == [
        b'{"tags":["a","a"],"text":"hello"}',
        b'{"tags":null,"text":"else"}',
        b'{"amount":5}',
    ]


def guide(framework: str) -> str:
    """The guide's program of this framework."""
    programs = blocks("python", ROOT / "docs" / "guides" / "frameworks.md")
    (found,) = [one for one in programs if f"taskbound.sdk.tool.{framework} import" in one]
    return found


def ended(place: Station) -> None:
    """The one task there is is over."""
    (task,) = {one["task"] for one in place.world.events("task-started")}
    place.world.tasks.end("default", task, TaskEvent.COMPLETE, ANN, reason="done")


async def told(world: World) -> None:
    """Go on once the one outcome there is was told, and is unknown."""
    async with asyncio.timeout(20):
        while not outcomes(world):
            await others()
    assert outcomes(world) == ["unknown"]
