from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.policy import Erred, Forbid, Forbidden, Held, Permitted, PolicyAnswer, conclude


def answer(permits: int = 0, bars: int = 0, holds: int = 0, errs: int = 0) -> PolicyAnswer:
    forbids = [Forbid(policy=f"bar{n}") for n in range(bars)]
    forbids += [Forbid(policy=f"hold{n}", lifter="confirm") for n in range(holds)]
    return PolicyAnswer(
        permits=tuple(f"permit{n}" for n in range(permits)),
        forbids=tuple(forbids),
        erred=tuple(Erred(policy=f"err{n}", words="it overflows") for n in range(errs)),
        bundle="b",
    )


def plainly(permits: int, bars: int, holds: int, errs: int) -> str:
    """The rules a second time, in the plainest words."""
    if errs:
        return "policy-erred"
    if bars:
        return "forbidden"
    if not permits:
        return "not-permitted"
    return "held" if holds else "permitted"


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_i16_the_conclusion_is_that_of_the_plain_rules(
    permits: int, bars: int, holds: int, errs: int
) -> None:
    found = conclude(answer(permits, bars, holds, errs))
    code = found.code if isinstance(found, Forbidden) else type(found).__name__.lower()
    assert code == plainly(permits, bars, holds, errs)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_i16_adding_a_refusal_or_an_error_never_permits(
    permits: int, bars: int, holds: int, errs: int
) -> None:
    before = conclude(answer(permits, bars, holds, errs))
    for worse in ((0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        counts = (permits + worse[0], bars + worse[1], holds + worse[2], errs + worse[3])
        after = conclude(answer(*counts))
        assert not isinstance(after, Permitted)
        assert not (isinstance(before, Forbidden) and isinstance(after, Permitted | Held))


def test_silence_refuses_and_names_no_policy() -> None:
    assert conclude(answer()) == Forbidden(code="not-permitted", policies=())


def test_an_answer_and_a_conclusion_can_not_be_used_as_a_condition() -> None:
    for one in (answer(permits=1), conclude(answer(permits=1)), conclude(answer(bars=1))):
        with pytest.raises(TypeError):
            bool(one)
