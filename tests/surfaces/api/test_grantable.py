from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.identity import PersonState
from taskbound.flows.identity import Groups
from taskbound.flows.means import Actor
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import identity, task
from taskbound.wire.connection import Done
from tests.surfaces.api.test_operations import WITHIN, station

if TYPE_CHECKING:
    from pathlib import Path


def test_the_account_that_owns_the_data_directory_says_who_may_grant_what_without_being_a_person(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path, person=os.geteuid() + 1) as place:
            client = await place.client()
            await client.ask(identity.SetPersonGrantable(name="ann", word="nothing"), Done)
            await client.ask(identity.SetPersonGrantable(name="ann", word="ceiling"), Done)
            events = place.world.events("grantable-changed")
            assert [one["after"] for one in events] == ["nothing", "ceiling"]
            assert {one["by"] for one in events} == {f"uid:{os.geteuid()}"}

    asyncio.run(story())


def test_the_owner_who_added_another_person_first_adds_their_own_account_and_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, person=os.geteuid() + 1) as place:
            client = await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(identity.RegisterPerson(name="carol", uid=os.geteuid() + 2), Done)
            assert refused.value.fault.code == "unproven"
            await client.ask(identity.RegisterPerson(name="olga", uid=os.geteuid()), Done)
            event = place.world.events("identity-registered")[-1]
            assert (event["identity"], event["by"]) == ("olga", f"uid:{os.geteuid()}")

    asyncio.run(story())


def test_a_person_who_gave_away_what_they_may_grant_can_not_take_it_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            client = await place.client()
            actor = Actor(name="root", proof="the owner's account")
            Groups(place.world.adapters).add("default", "all", actor, owns=True)
            await client.ask(identity.SetGroupGrantable(name="all", word="ceiling"), Done)
            await client.ask(identity.SetPersonGrantable(name="ann", word="nothing"), Done)
            for ask in (
                identity.SetPersonGrantable(name="ann", word="ceiling"),
                identity.SetGroupGrantable(name="all", word="nothing"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == "not-giver"
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(identity.SetMember(group="all", person="ann", member=True), Done)
            assert refused.value.fault.code == "not-self"

    asyncio.run(story())


@pytest.mark.parametrize(
    "said",
    [{}, {"word": "all"}, {"word": "ceiling", "scope": msgspec.Raw(b'{"grants":[{"tool":"bank__look"}]}')}],
)
def test_what_may_be_granted_is_said_by_one_word_or_one_scope(said: dict[str, Any], tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(identity.SetPersonGrantable(name="ann", **said), Done)
            assert refused.value.fault.code == "bad-grantable"

    asyncio.run(story())


def test_who_is_no_person_any_more_says_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            client = await place.client()
            with place.world.store.read() as snapshot:
                ann = snapshot.identities.persons("default")["ann"]
            gone = replace(ann, state=PersonState.GONE, version=ann.version + 1)
            place.world.store.write(lambda tx: tx.identities.put_person(gone, expect=ann.version))
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(identity.SetPersonGrantable(name="ann", word="ceiling"), Done)
            assert refused.value.fault.code == "unproven"

    asyncio.run(story())


@pytest.mark.parametrize("role", ["gateway", "cli"])
def test_an_agent_gives_itself_no_task_to_learn_from_and_no_grantable(role: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            gateway = await place.gateway()
            client = gateway if role == "gateway" else await place.client()
            for ask in (
                task.StartTask(
                    agent="coder",
                    purpose="mine",
                    seconds=60,
                    scope=msgspec.Raw(b'{"grants":[{"tool":"bank__look","others":"any"}]}'),
                    learning=True,
                ),
                identity.SetPersonGrantable(name="ann", word="ceiling"),
                identity.SetGroupGrantable(name="all", word="ceiling"),
                identity.SetMember(group="all", person="ann", member=True),
                identity.SetRisk(name="coder", level="high", reason="mine"),
                identity.SetCeiling(
                    name="coder", ceiling=msgspec.Raw(b'{"grants":[{"tool":"bank__look","others":"any"}]}')
                ),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, Done)
                assert refused.value.fault.code == WITHIN[role]

    asyncio.run(story())
