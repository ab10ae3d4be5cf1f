from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskbound.core.approval import ApprovalEvent, Ground, befallen
from taskbound.core.clock import Instant
from tests.core.approval.values import HOUR, NOW, act, question

GROUND = Ground(ended="", active=True, bundle="b1", scope="s1", edition=1, act=act())
LATER = Instant(NOW + 1)


def test_a_question_that_still_is_the_one_that_was_asked_goes_on() -> None:
    assert befallen(question(), GROUND, LATER) is None
    assert befallen(question(), GROUND, Instant(NOW + HOUR - 1)) is None


def test_a_scope_that_came_back_is_another_question() -> None:
    for edition in (2, 4):
        found = befallen(question(), replace(GROUND, edition=edition), LATER)
        assert (found and found.event) is ApprovalEvent.SUPERSEDE


@pytest.mark.parametrize(
    ("changes", "at", "event"),
    [
        ({"ended": "completed"}, LATER, ApprovalEvent.WITHDRAW),
        ({"active": False}, LATER, ApprovalEvent.SUPERSEDE),
        ({"bundle": "b2"}, LATER, ApprovalEvent.SUPERSEDE),
        ({"scope": "s2"}, LATER, ApprovalEvent.SUPERSEDE),
        ({"act": act(definition="00" * 32)}, LATER, ApprovalEvent.SUPERSEDE),
        ({}, Instant(NOW + HOUR), ApprovalEvent.EXPIRE),
        ({}, Instant(NOW + 10 * HOUR), ApprovalEvent.EXPIRE),
        ({"ended": "revoked", "bundle": "b2"}, Instant(NOW + HOUR), ApprovalEvent.WITHDRAW),
        ({"bundle": "b2"}, Instant(NOW + HOUR), ApprovalEvent.EXPIRE),
    ],
)
def test_what_changed_since_it_was_asked_ends_it(
    changes: dict[str, Any], at: Instant, event: ApprovalEvent
) -> None:
    found = befallen(question(), replace(GROUND, **changes), at)
    assert found is not None
    assert found.event is event
    assert found.reason
