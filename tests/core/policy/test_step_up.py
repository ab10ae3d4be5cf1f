from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.policy.operation import SignIn, StepUp, StepUpError, parse_step_up, unmet

NOW = Instant(1_800_000_000_000_000)


@pytest.mark.parametrize(
    ("lifter", "step"),
    [
        ("step-up:mfa", StepUp(acr="mfa", within=0)),
        ("step-up:urn:example:loa:2", StepUp(acr="urn:example:loa:2", within=0)),
        ("step-up:mfa@300", StepUp(acr="mfa", within=300)),
        ("step-up:@300", StepUp(acr="", within=300)),
        ("step-up:", None),
        ("step-up:@", None),
        ("step-up:@0", None),
        ("step-up:mfa@", None),
        ("step-up:mfa@3000000", None),
        ("step-up:mfa@-1", None),
        ('step-up:m"fa', None),
        ("step-up:m fa", None),
        ("step-up:mfa\n", None),
        ("step-up:urn:", None),
        ("confirm", None),
        ("approval:mfa", None),
    ],
)
def test_a_step_up_names_a_way_to_sign_in_or_a_time_or_both(lifter: str, step: StepUp | None) -> None:
    assert parse_step_up(lifter) == step


BOTH = StepUp(acr="mfa", within=300)


@pytest.mark.parametrize(
    ("signed", "met"),
    [
        (SignIn(acr="mfa", at=NOW), True),
        (SignIn(acr="mfa", at=Instant(NOW - 300_000_000)), True),
        (SignIn(acr="mfa", at=Instant(NOW - 300_000_001)), False),
        (SignIn(acr="mfa", at=Instant(NOW + 1)), False),
        (SignIn(acr="mfa2", at=NOW), False),
        (SignIn(acr="MFA", at=NOW), False),
        (SignIn(acr="", at=NOW), False),
        (None, False),
    ],
)
def test_a_sign_in_meets_it_by_its_whole_way_and_within_its_time_or_not(
    signed: SignIn | None,
    met: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert (unmet([BOTH], signed, NOW) == ()) is met


def test_what_is_told_is_all_ways_and_the_shortest_time() -> None:
    error = StepUpError("no", steps=[BOTH, StepUp(acr="", within=60), StepUp(acr="phr", within=0), BOTH])
    assert (error.acr, error.within) == ("mfa phr", 60)
    assert error.message == "no: signed in as `mfa phr`, at most 60 seconds ago"
    assert (StepUpError("no", steps=[StepUp(acr="phr", within=0)]).within) == 0
