from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.core.scope.compared import compare

CALLS = 100_000
"""A run; dev/soak compares a hundred times as many."""
SOME = 8_000
COVER = sys.modules["taskbound.core.scope.cover"]
"""The module, which a function of its name hides."""


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_i18_a_hundred_thousand_calls_are_covered_and_charged_as_the_plain_rules_say() -> None:
    compared, covered = compare(1, CALLS)
    assert compared >= CALLS
    assert compared / 4 < covered < compared * 3 / 4


def short(charges: Any) -> Any:
    return lambda totals, arguments: charges(totals[1:], arguments)


FAULTS: dict[str, tuple[str, Any]] = {
    "what no grant mentions passes": ("is_default", lambda *_: True),
    "a total is overlooked": ("amounts_of", short(COVER.amounts_of)),
    "a deep grant covers whatever there is": ("meets_members", lambda *_: COVER.Match()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_engine_that_differs_from_the_plain_rules_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COVER, *FAULTS[fault])
    with pytest.raises(AssertionError):
        compare(1, SOME)
