"""Runs the whole demo and cleans up."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound import __version__
from taskbound.surfaces.cli.demo import approvals as files
from taskbound.surfaces.cli.demo import approvals as people
from taskbound.surfaces.cli.demo import approvals as proofs
from taskbound.surfaces.cli.demo import limits as calls
from taskbound.surfaces.cli.demo import limits as children
from taskbound.surfaces.cli.demo import limits as ends
from taskbound.surfaces.cli.demo.scene import DemoReport, Step, play
from taskbound.surfaces.cli.demo.setting import set_up
from taskbound.surfaces.cli.demo.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.cli.demo.parts import Parts
    from taskbound.surfaces.cli.demo.scene import Page
    from taskbound.surfaces.cli.plugs import Dependencies


_STEPS: Final = (
    ("A person declares who may do what, for how long", set_up),
    ("Permitted: what the task is for", calls.permitted),
    ("Refused for an argument: a text gives the agent orders", calls.refused),
    ("Refused for its bytes: the amount stands there twice", calls.duplicate_key),
    ("A split attack: each payment fits, together they don't", calls.split),
    ("Answered once, though gateway and daemon are killed", ends.once_across_a_restart),
    ("A server that changes after it was approved", ends.changed_schema),
    ("The task ends while a call is on its way", ends.ended_during_a_call),
    ("Above a limit: another person signs, and it runs once", people.approved_once),
    ("Above a limit, and the file behind it changes", files.changed_while_asked),
    ("A child task can't exceed its parent", children.carved),
    ("A retry after `unknown` asks", people.asked_after_unknown),
    ("The log, verified by who has nothing but files", proofs.verified_offline),
    ("A thief of the key rewrites history", proofs.stolen_key),
)


async def tell(plugs: Dependencies, parts: Parts, page: Page, place: Path, *, kept: bool) -> DemoReport:
    began = time.monotonic()
    with ExitStack() as stack:
        errors = stack.enter_context((place / "gateways.log").open("w", encoding="utf-8"))
        world = World(plugs=plugs, parts=parts, place=place, errors=errors)
        stack.callback(world.close)
        try:
            steps = await play([Step(title=title, play=partial(one, world)) for title, one in _STEPS], page)
        finally:
            await world.disconnect()
    report = DemoReport(
        ok=len(steps) == len(_STEPS) and all(one.ok for one in steps),
        version=__version__,
        seconds=round(time.monotonic() - began, 3),
        kept=str(place) if kept else "",
        steps=steps,
    )
    page.closing(report.summary, ok=report.ok)
    return report
