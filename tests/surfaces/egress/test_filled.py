from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from taskbound.core.tool import parse_slot
from taskbound.ports.target import Minted as Made
from taskbound.surfaces.egress.asked import FilledSlots
from taskbound.surfaces.egress.errors import NotGivenError, SecretChangedError
from taskbound.wire.egress import Permit, StartServer
from taskbound.wire.tool import identity_of
from tests.peers.seating import OPEN, SECRET, TASK
from tests.surfaces.egress.test_minted import HERE, SPEC, Egress

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from taskbound.core.tool import Slot

pytestmark = pytest.mark.anyio


class Filling:
    """One server that is filled, what is kept from leaving, and what is done beside it."""

    def __init__(self, there: Egress) -> None:
        self.there = there
        self.kept: set[str] = set()
        self.beside: list[asyncio.Task[None]] = []
        self.identity = identity_of(there.spec, namespace="default")
        ask = StartServer(
            namespace="default", server="orders", identity=self.identity.digest, era="2025-11-25"
        )
        self.filled = FilledSlots(
            there,  # type: ignore[arg-type]  # its part of a desk
            HERE,
            ask,
            keep=self.keep,
            begin=self.begin,
            busy=lambda: False,
        )

    def keep(self, secrets: Iterable[str]) -> None:
        self.kept |= set(secrets)

    def begin(self, work: Coroutine[None, None, None]) -> None:
        self.beside.append(asyncio.ensure_future(work))

    async def fill(self, **changes: Any) -> dict[Slot, str]:
        told = await self.there.daemon.server("default", "orders", HERE)
        return await self.filled.fill(structs.replace(told, **changes), self.identity)

    async def end(self) -> None:
        self.filled.end()
        for one in self.beside:
            one.cancel()
        await asyncio.gather(*self.beside, return_exceptions=True)
        await self.there.asking.close()


def permit(task: str = TASK) -> Permit:
    return Permit(
        action="act_1",
        tool="orders__say",
        server="1" * 64,
        sha256="2" * 64,
        at=0,
        until=0,
        now=0,
        secrets=(),
        task=task,
    )


async def test_what_may_not_be_said_is_known_before_the_server_has_it_also_of_one_that_is_not_started(
    there: Egress,
) -> None:
    log: dict[object, frozenset[str]] = {}
    there.kept = log.__setitem__
    one = Filling(there)
    values = await one.fill()
    assert {slot.name: value for slot, value in values.items()} == OPEN | SECRET
    assert one.kept == log[one.filled] == set(SECRET.values())
    await one.end()
    assert set(log.values()) == {frozenset()}
    there.daemon.minted = Made(open={}, secret={"OTHER": "tbs_hunter3-hunter3"})
    other = Filling(there)
    with pytest.raises(NotGivenError):
        await other.fill()
    assert other.kept == {"tbs_hunter3-hunter3"}
    await other.end()


async def test_a_permit_of_another_task_is_not_sent_and_one_of_its_own_is_until_its_credential_is_over(
    there: Egress,
) -> None:
    one = Filling(there)
    await one.fill()
    one.filled.require_same(permit())
    with pytest.raises(SecretChangedError, match="another task"):
        one.filled.require_same(permit(task="tsk_2"))
    there.loop.ahead += 599.5
    with pytest.raises(SecretChangedError, match="about to end"):
        one.filled.require_same(permit())
    await one.end()
    with pytest.raises(SecretChangedError, match="is over"):
        one.filled.require_same(permit())
    assert there.daemon.ended == ["crd_1"]


async def test_it_is_watched_from_the_first_instant_and_a_server_that_comes_late_is_ended_too(
    there: Egress,
) -> None:
    one = Filling(there)
    await one.fill()
    there.daemon.over = ("crd_1",)
    for _ in range(3):
        there.loop.ahead += 3
        for _ in range(6):
            await asyncio.sleep(0)
    one.filled.serve(there.server)  # type: ignore[arg-type]  # it is only ended here
    assert there.server.killed
    await one.end()


@pytest.mark.parametrize("spec", [structs.replace(SPEC, slots=tuple(sorted(SPEC.slots)))])
async def test_who_looks_gets_a_text_that_opens_nothing_and_nothing_is_asked_for(there: Egress) -> None:
    one = Filling(there)
    values = await one.fill(tasks=())
    assert {slot.name: value for slot, value in values.items()} == dict.fromkeys(
        OPEN | SECRET, "taskbound-looks"
    )
    assert (there.daemon.asked, there.daemon.places, one.beside) == ([], [], [])
    await one.end()
    assert parse_slot(SPEC.slots[0]).source is not None
