from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import OPEN, ApprovalState
from tests.peers.racing import TABLE, USED, Said, lone_round, race_rounds, row_of
from tests.sqlite import sqlite_store

if TYPE_CHECKING:
    from taskbound.ports.store import Store

ROUNDS = dict.fromkeys(Said, 1)
"""Of each kind over each store: 24,480 tries to use 170 approvals, 68 of them steps of plans.

`dev/soak --only approvals` does more.
"""


@pytest.mark.parametrize("said", Said, ids=lambda one: one.value)
@pytest.mark.parametrize("what", TABLE)
def test_i29_of_all_that_would_use_an_approval_one_does_or_none_and_none_after_it_ended(
    what: str, stores: tuple[Store, Store], said: Said
) -> None:
    rounds = ROUNDS[said]
    ended = race_rounds(what, stores, rounds, said=said)
    used = ended["consumed"]
    assert ended.total() == rounds
    assert used == rounds if row_of(what, said).stays else used <= rounds


@pytest.mark.parametrize("said", [Said.BEFORE, Said.PLANNED], ids=lambda one: one.value)
@pytest.mark.parametrize("what", TABLE)
def test_both_sides_of_each_race_end_as_the_table_says_when_they_come_one_after_the_other(
    what: str, said: Said
) -> None:
    row = row_of(what, said)
    assert lone_round(what, sqlite_store(), first="use", said=said) == USED
    after = lone_round(what, sqlite_store(), first="end", said=said)
    if row.idle:
        assert after == USED
    elif row.stays:
        assert after == ("held", "approved"), "it is used when what happened is over"
    else:
        assert after == (row.action, row.approval)


def test_the_table_has_a_race_for_each_end_that_an_approval_can_have_and_for_all_that_people_can_do() -> None:
    ends = {one.approval for one in TABLE.values() if not one.stays}
    assert ends == {one.value for one in ApprovalState if one not in OPEN} - {"consumed"}
    assert set(TABLE) >= {
        "amend",
        "deny",
        "deny the last step",
        "end",
        "expire",
        "leave",
        "leave for good",
        "leave the group",
        "narrow",
        "pause",
        "policy",
        "re-pin",
        "stop",
        "tool",
        "withdraw",
        "withdraw the key",
    }
