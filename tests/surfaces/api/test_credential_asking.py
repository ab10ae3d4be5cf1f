from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from taskbound.core.credential import credential_of
from taskbound.wire import action
from tests.peers.targeting import ALICE, BOB, MAY_MINT, add_target, rows_of
from tests.surfaces.api.test_operations import decide, station

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.api.test_operations import Station

WRITER = "orders-db__credential/writer"
BAD = {
    ("", WRITER): "no-recipient",
    ("A" * 43, WRITER): "bad-recipient",
    (ALICE, "bank__look"): "unwanted-recipient",
}


def asked(request: str, recipient: str = ALICE, *, tool: str = WRITER) -> action.Decide:
    return action.Decide(tool=tool, arguments=msgspec.Raw(b"{}"), request=request, recipient=recipient)


def settle(place: Station) -> None:
    """A target, and a task of an agent that may have its credentials."""
    add_target(place.world)
    place.world.add_agent("minter", ceiling=MAY_MINT)
    place.world.start(scope=MAY_MINT, agent="minter")


def test_a_permit_and_its_duplicate_name_the_credential_that_was_written_down_and_no_other_does(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            settle(place)
            gateway = await place.client("gateway", agent="minter")
            permitted = await gateway.ask(asked("1"), action.Permitted)
            assert permitted.credential == credential_of(permitted.action)
            (row,) = rows_of(place.world.store)
            assert (row.id, row.recipient, row.action) == (permitted.credential, ALICE, permitted.action)
            again = await gateway.ask(asked("1", BOB), action.Duplicate)
            assert (again.action, again.credential) == (permitted.action, permitted.credential)
            assert (await gateway.ask(decide("2"), action.Permitted)).credential == ""
            assert (await gateway.ask(decide("2"), action.Duplicate)).credential == ""
            assert len(rows_of(place.world.store)) == 1

    asyncio.run(story())


def test_who_can_not_be_sealed_to_gets_nothing_and_leaves_one_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            settle(place)
            gateway = await place.client("gateway", agent="minter")
            for (recipient, tool), code in BAD.items():
                refused = await gateway.ask(asked(code, recipient, tool=tool), action.Refused)
                assert (refused.action, refused.code) == ("", code)
            left = place.world.events("action-refused-malformed")
            assert [one["code"] for one in left] == list(BAD.values())
            for other in ("action-decided", "action-undecided", "credential-journaled"):
                assert place.world.events(other) == []
            assert rows_of(place.world.store) == ()

    asyncio.run(story())
