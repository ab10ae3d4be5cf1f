"""Several daemons renew and end one credential at once: one renewal at most is under way, and an end wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.credential import CredentialState, RenewalState
from tests.peers.targeting import MAY_MINT
from tests.stories.minting import Letters
from tests.stories.test_credential_races import at_once, cancelled
from tests.stories.test_credential_renewals import READER_TOOL, Renewing
from tests.world import World, code_of

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Store


class Two:
    """Two daemons of one store, and a task whose credentials can be renewed."""

    def __init__(self, stores: tuple[Store, Store]) -> None:
        self.first = World(store=stores[0], chance=Letters())
        self.first.settle_in()
        self.there = Renewing(self.first)
        self.second = World(store=stores[1], clock=self.first.clock, chance=self.first.chance)

    def have(self, number: int) -> Credential:
        self.there.task = self.first.start(scope=MAY_MINT, agent="minter")
        row = self.there.have(connection=f"con_{number}")
        self.first.clock.advance(10)
        return row

    def renew_there(self, row: Credential, heard: list[str]) -> None:
        asked = {"customer": "42", "renews": row.id}
        answer = self.second.ask(self.there.task, READER_TOOL, asked, agent="minter", connection="con_z")
        heard.append(code_of(answer))


@pytest.fixture
def two(stores: tuple[Store, Store]) -> Two:
    return Two(stores)


def test_i09_of_two_renewals_at_two_daemons_one_is_permitted(two: Two) -> None:
    for turn in range(4):
        row, heard = two.have(turn), list[str]()
        acts = (
            lambda r=row, h=heard: h.append(code_of(two.there.renew(r))),
            lambda r=row, h=heard: two.renew_there(r, h),
        )
        assert at_once(*acts) == []
        assert sorted(heard) == ["permit", "renewal-under-way"]
        found = two.there.row(row)
        assert found.renewal is not None
        assert (found.ends, found.version) == (row.ends, row.version + 1)


def test_i12_an_end_and_a_renewal_at_two_daemons_leave_nothing_that_lives(two: Two) -> None:
    for turn in range(4):
        row, heard = two.have(turn), list[str]()
        acts = (
            lambda: cancelled(two.first, two.there.task),
            lambda r=row, h=heard: two.renew_there(r, h),
        )
        assert at_once(*acts) == []
        found = two.there.row(row)
        assert (found.state, found.ends) == (CredentialState.REVOKING, row.ends)
        assert heard[0] in {"permit", "task-ended", "no-task"}
        assert found.renewal is None or found.renewal.state is RenewalState.FAILED
