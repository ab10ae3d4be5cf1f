from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import PrincipalKind
from taskbound.core.policy.operation import OperationForbiddenError, Right
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.api.server.table import OPERATIONS
from taskbound.wire.connection import Done, Fault
from taskbound.wire.identity import AddGroup, SetMember
from taskbound.wire.token import FeedRows, ReadFeed
from tests.surfaces.api.test_authority import NO_START, bare, forbid, principal_of, put_in_force
from tests.surfaces.api.test_operations import ASKS, example, station

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.core.identity.proof import Principal
    from taskbound.ports.store import Snapshot, Store

SERVED = [one for one in ASKS if OPERATIONS[one].right is Right.SERVICE or OPERATIONS[one].policy.serves]
PROCESSES = {Right.ANYONE, Right.EGRESS, Right.BROKER}
"""Who may ask for these is looked at where they come from (`server`)."""


def test_the_base_lets_a_service_ask_for_what_is_for_services_and_for_nothing_that_is_others(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            service = principal_of(PrincipalKind.SERVICE, "pay")
            for kind in ASKS:
                asked = place.daemon.authority.authorize(service, bare(kind), example(kind))
                if kind in SERVED or OPERATIONS[kind].right in PROCESSES:
                    await asked
                    continue
                with pytest.raises(OperationForbiddenError) as refused:
                    await asked
                assert "not-permitted" in refused.value.message

    asyncio.run(story())


@pytest.mark.parametrize("kind", SERVED, ids=bare)
def test_i27_a_house_forbids_services_what_is_for_services(kind: type, tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=forbid(bare(kind))) as place:
            service = principal_of(PrincipalKind.SERVICE, "pay")
            with pytest.raises(OperationForbiddenError) as refused:
                await place.daemon.authority.authorize(service, bare(kind), example(kind))
            assert refused.value.where == "house:no"

    asyncio.run(story())


FEED = OPERATIONS[ReadFeed].policy
ONCALL = """
@id("duty:oncall")
@reason("Who is on call has no time for it.")
forbid (principal in Taskbound::Group::"default/oncall", action, resource)
when { action == Taskbound::Action::"revocation:feed" };
"""


def test_a_service_that_follows_the_feed_is_answered_from_memory_and_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    async def story() -> None:
        async with station(tmp_path) as place:
            seat = seated(principal_of(PrincipalKind.SERVICE, "pay"))
            require, store = place.daemon.authority.require, type(place.daemon.adapters.store)
            await require(seat, FEED, ReadFeed())
            read = store.read

            def counted(self: Store) -> AbstractContextManager[Snapshot]:
                reads.append(1)
                return read(self)

            with monkeypatch.context() as patch:
                patch.setattr(store, "read", counted)
                await require(seat, FEED, ReadFeed(after=9, mark="ab" * 32))
                assert reads == []
                await require(seated(principal_of(PrincipalKind.PERSON)), FEED, ReadFeed())
                assert reads
            put_in_force(place, NO_START.replace("task:start", "revocation:feed"))
            with pytest.raises(OperationForbiddenError):
                await require(seat, FEED, ReadFeed())

    asyncio.run(story())


def test_a_person_that_follows_the_feed_is_looked_at_with_the_groups_of_the_moment(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=base_bundle() + ONCALL) as place:
            client = await place.client()
            assert place.daemon.feed.look()
            await client.ask(AddGroup(name="oncall"), Done)
            assert isinstance(await client.ask_any(ReadFeed()), FeedRows)
            for member, answer in ((True, Fault), (False, FeedRows)):
                await client.ask(SetMember(group="oncall", person="ann", member=member), Done)
                assert isinstance(await client.ask_any(ReadFeed()), answer)

    asyncio.run(story())


def seated(principal: Principal) -> Connection:
    """Who asks once, over a network."""
    peer = Peer(proof=PeerProof(uid=-1, pid=0, started=0), ancestry=())
    return Connection(
        name="net_1",
        role="network",
        namespace="default",
        agent="",
        peer=peer,
        push=lambda _: None,
        principal=principal,
    )
