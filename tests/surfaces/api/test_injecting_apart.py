"""Credentials that fill slots: two connections at once, a clock that is set, and what an egress started."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from taskbound.core.credential import CredentialState
from taskbound.surfaces.api.background.credential_rounds import CredentialRounds
from taskbound.wire import target as credential
from taskbound.wire.egress import SealedServer, ShowSealed
from tests.stories.test_clock import Machine
from tests.surfaces.api.test_credential import code
from tests.surfaces.api.test_injecting import placed
from tests.surfaces.api.test_operations import station

POSER = Path(__file__).with_name("poser.py")


def test_two_connections_that_ask_at_once_have_one_credential_each_and_no_more_than_the_limit(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with placed(tmp_path) as at:
            one, other = await at.egress(), await at.egress()
            first, second = await asyncio.gather(at.permitted(one), at.permitted(other))
            assert first.credential != second.credential
            assert {at.row(each.credential).action for each in (first, second)} == {
                first.action,
                second.action,
            }
            for egress, theirs in ((one, second), (other, first)):
                take = credential.TakeCredential(credential=theirs.credential)
                assert code(await egress.ask_any(take)) == "not-asker"
            have, more = await at.minted(one), await at.minted(other)
            await at.lose(one)
            assert (await at.until_over(have.id)).state is CredentialState.REVOKING
            assert at.row(more.id).state is CredentialState.ACTIVE

    asyncio.run(story())


def test_two_connections_that_ask_at_once_for_the_last_use_have_one_credential(tmp_path: Path) -> None:
    async def story() -> None:
        grants = [{"tool": "orders-db__credential/reader", "others": "any", "uses": 1}]
        async with placed(tmp_path, scope={"grants": grants}) as at:
            egresses = [await at.egress() for _ in range(4)]
            found = await asyncio.gather(*(one.ask_any(at.ask()) for one in egresses))
            assert sorted(type(one).__name__ for one in found) == ["Permitted", *["Refused"] * 3]
            assert len(at.world.events("credential-journaled")) == 1

    asyncio.run(story())


def test_i52_a_clock_that_is_set_back_after_the_permit_prolongs_nothing_that_is_put_in(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        machine = Machine()
        async with placed(tmp_path, clock=machine.clock()) as at:
            egress = await at.egress()
            permitted = await at.permitted(egress)
            ends = at.row(permitted.credential).ends
            machine.set_wall(-86_400)
            row = await at.minted(egress)
            assert ends <= row.ends <= ends + 1_000_000
            show = ShowSealed(server="orders", holder=at.holder, credentials=(row.id,))
            assert 0 < row.ends - (await egress.ask(show, SealedServer)).now <= 60_000_000
            machine.pass_by(61)
            await CredentialRounds(at.station.daemon).go()
            assert at.row(row.id).state is CredentialState.REVOKING
            assert (await egress.ask(show, SealedServer)).ended == (row.id,)

    asyncio.run(story())


def test_what_an_egress_started_is_no_person_no_egress_and_asks_for_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as there:
            socket = str(there.path)
            assert await poses(socket) == {"cli": "Opened", "egress": "Opened", "broker": "Opened"}
            egress = await there.client("egress")  # and what this process starts is what its egress starts
            assert await poses(socket) == {
                "cli": "not-outside",
                "egress": "not-outside",
                "broker": "not-outside",
            }
            # Who was seen beneath it stays inside when it is gone, and nobody else is.
            left = await posing(socket)
            there.daemon.look_inside()
            await there.lose(egress)
            assert await poses(socket, left) == dict.fromkeys(("broker", "cli", "egress"), "not-outside")
            assert await poses(socket) == {"cli": "Opened", "egress": "Opened", "broker": "Opened"}

    asyncio.run(story())


async def posing(socket: str) -> asyncio.subprocess.Process:
    """A program that this process starts, and that waits to be told to begin."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(POSER), socket),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


async def poses(socket: str, process: asyncio.subprocess.Process | None = None) -> dict[str, str]:
    """What such a program hears in each role."""
    said, _ = await (process or await posing(socket)).communicate(b"\n")
    found: dict[str, str] = msgspec.json.decode(said)
    return found
