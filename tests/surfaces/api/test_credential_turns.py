"""Whose turn comes first where a person revokes and agents ask."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from taskbound.wire import action
from taskbound.wire import target as credential
from taskbound.wire.connection import Status, StatusReport
from tests.stories.brokering import TARGET
from tests.surfaces.api.test_credential import scene
from tests.surfaces.api.test_operations import decide

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("named", "first"),
    [("credential", "credential-moved"), ("task", "credential-moved"), ("target", "action-decided")],
)
def test_i61_one_is_revoked_before_what_waits_and_all_of_a_target_after_it(
    tmp_path: Path, named: str, first: str
) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row, person = await at.permitted("a"), await at.place.client()
            busy, over = threading.Event(), threading.Event()

            def block(_: object) -> None:
                busy.set()
                over.wait(10)

            async def waiting(count: int) -> None:
                """Return once so much waits for a turn."""
                other = await at.place.client()
                async with asyncio.timeout(30):
                    while sum(map(len, at.daemon.worker._lanes)) < count:  # noqa: SLF001 - only it knows
                        await other.ask(Status(), StatusReport)

            blocked = asyncio.ensure_future(at.daemon.tellings.take(block))  # the next turn begins anew
            await asyncio.to_thread(busy.wait, 10)
            before = len(at.world.records())
            ask = credential.RevokeCredentials(
                **{named: {"credential": row.id, "task": row.task, "target": TARGET}[named]}
            )
            revoked = asyncio.ensure_future(person.ask(ask, credential.RevokingCredentials))
            await waiting(1)
            call = at.askers.ask("a", decide("b", amount=2))
            await waiting(2)
            over.set()
            assert (await revoked).credentials == (row.id,)
            assert isinstance(await call, action.Permitted)
            await blocked
            kinds = [one["event"]["kind"] for one in at.world.records()[before:]]
            assert kinds == [first, *({"action-decided", "credential-moved"} - {first})]

    asyncio.run(story())
