from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done, Status, StatusReport
from taskbound.wire.identity import AddGroup, RegisterPerson, SetMember
from tests.peers.openssh import Device
from tests.surfaces.api.test_operations import WITHIN, station

if TYPE_CHECKING:
    from pathlib import Path

ACTS: tuple[Any, ...] = (
    wire.ProposePersonKey(person="ann", public=Device().line),
    wire.ProvePersonKey(key="key_1", signature=""),
    wire.VouchPersonKey(key="key_1"),
    wire.OpenEnrollment(person="ann"),
    wire.OpenVouching(key="key_1"),
    wire.ConfirmPersonKey(key="key_1", fingerprint=""),
    wire.WithdrawPersonKey(key="key_1"),
    wire.SetDemo(demo=True),
    wire.SetDemo(demo=False),
    wire.LeavePerson(name="ann"),
    wire.ReturnPerson(name="ann"),
    wire.LinkPersons(one="ann", other="bob", linked=True),
    wire.LinkPersons(one="ann", other="bob", linked=False),
    wire.SetAnswering(name="coder", owner="ann", approvers=("ann",)),
)


@pytest.mark.parametrize(
    "ask", ACTS, ids=[type(one).__name__ + str(number) for number, one in enumerate(ACTS)]
)
@pytest.mark.parametrize("role", ["gateway", "cli"])
def test_nothing_of_people_is_said_from_inside_a_gateway_or_a_run(
    role: str, ask: Any, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            client = gateway if role == "gateway" else await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(ask, Done)
            assert refused.value.fault.code == WITHIN[role]
            with place.world.store.read() as snapshot:
                assert not snapshot.identities.namespace("default").demo

    asyncio.run(story())


def test_a_key_is_enrolled_and_listed_with_what_is_known_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            device = Device()
            proposed = await client.ask(
                wire.ProposePersonKey(person="ann", public=device.line), wire.PersonKeyDetail
            )
            assert (proposed.row.state, proposed.vouching) == ("proposed", "nobody")
            signature = device.sign(proposed.statement.encode()).decode()
            done = await client.ask(
                wire.ProvePersonKey(key=proposed.row.key, signature=signature), wire.PersonKeyDetail
            )
            assert (done.row.state, done.row.counts, done.row.custody) == ("enrolled", True, "hardware")
            listed = await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)
            assert listed.rows == (done.row,)
            shown = await client.ask(wire.ShowPersonKey(key=done.row.key), wire.PersonKeyDetail)
            assert shown.statement == proposed.statement

    asyncio.run(story())


def test_a_bare_file_of_a_persons_or_the_daemons_account_is_refused(tmp_path: Path) -> None:
    line = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBNoo56eQN4/fQjCgmQL3QYFoouwvHLUznCdos5wSeUrO3yVKojm/vP6EhdFTQ4HW4CndGooFSi8xt5OkYc9WHPk= c"  # noqa: E501  # one key

    async def story() -> None:
        async with station(tmp_path, person=os.geteuid() + 1) as place:
            client = await place.client()
            for uid in (os.geteuid(), os.geteuid() + 1):
                seen = wire.KeyFileSeen(encrypted=False, mode=0o600, uid=uid)
                ask = wire.ProposePersonKey(person="ann", public=line, file=seen)
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, wire.PersonKeyDetail)
                assert refused.value.fault.code == "person-key-exposed"

    asyncio.run(story())


def test_a_demo_is_shown_in_the_daemons_state_and_with_every_key(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            assert not (await client.ask(Status(), StatusReport)).demo
            await client.ask(wire.SetDemo(demo=True), Done)
            assert (await client.ask(Status(), StatusReport)).demo
            assert (await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)).demo
            assert place.world.events("namespace-changed")[-1]["demo"] is True

    asyncio.run(story())


def test_a_person_who_does_not_own_the_data_directory_says_nothing_of_others(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            client = await place.client()
            await client.ask(RegisterPerson(name="bob", uid=os.geteuid() + 2), Done)
            for ask, code in (
                (wire.LeavePerson(name="bob"), "not-self"),
                (wire.ReturnPerson(name="bob"), "not-self"),
                (wire.LinkPersons(one="ann", other="bob", linked=True), "not-self"),
                (wire.LinkPersons(one="ann", other="bob", linked=False), "not-self"),
                (AddGroup(name="finance"), "not-self"),
                (SetMember(group="finance", person="ann", member=True), "not-self"),
                (SetMember(group="finance", person="bob", member=False), "not-self"),
                (wire.SetDemo(demo=True), "not-key-holder"),
                (wire.ProposePersonKey(person="bob", public=Device().line), "not-key-holder"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == code

    asyncio.run(story())
