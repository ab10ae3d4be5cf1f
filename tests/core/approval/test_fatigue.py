from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.approval.fatigue import (
    ApprovalLimits,
    BadLimitsError,
    CountedQuestion,
    Display,
    Pace,
    pace_of,
    parse_limits,
    weigh,
)
from taskbound.core.clock import Instant
from tests.core.approval.values import HOUR, NOW, answer

SECOND = 1_000_000
LIMITS = ApprovalLimits(namespace="default", speed=100)
SHOWN = Display(person="ada", at=NOW, length=1_000)


def after(seconds: float, who: str = "ada", kind: AnswerKind = AnswerKind.APPROVE) -> Pace:
    given = replace(answer(who, kind), received=Instant(NOW + round(seconds * SECOND)))
    return pace_of(given, (SHOWN,), LIMITS)


def test_a_yes_that_came_sooner_than_the_sheet_can_be_read_is_hasty_and_not_a_moment_later() -> None:
    assert after(9.999_999) == Pace(taken=9_999_999, length=1_000, hasty=True)
    assert after(10) == Pace(taken=10 * SECOND, length=1_000, hasty=False)
    assert after(1, kind=AnswerKind.CONFIRM).hasty


def test_a_denial_in_haste_is_measured_and_not_hasty() -> None:
    assert after(1, kind=AnswerKind.DENY) == Pace(taken=SECOND, length=1_000, hasty=False)
    assert after(1, "ben", AnswerKind.DENY) == Pace(taken=-1, length=0, hasty=False)


def test_a_yes_to_what_was_never_shown_to_them_is_hasty_though_it_was_shown_to_somebody_else() -> None:
    assert after(100, "ben") == Pace(taken=-1, length=0, hasty=True)
    assert after(-1) == Pace(taken=-1, length=0, hasty=True)


@pytest.mark.parametrize("values", [{"open": 0}, {"open": 201}, {"hourly": 0}, {"speed": 10_001}])
def test_a_limit_that_can_not_be_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(BadLimitsError):
        parse_limits("default", **values)


def test_what_nobody_has_said_holds_by_default() -> None:
    assert parse_limits("acme") == ApprovalLimits(namespace="acme", open=20, hourly=60, speed=100)


def question(
    minutes: float, *, agent: str = "bot", state: str = "pending", wait: float = -1
) -> CountedQuestion:
    """One that was asked then, shown to ada at once, and answered by her so many seconds later."""
    at = Instant(NOW + round(minutes * 60 * SECOND))
    given = replace(answer("ada"), received=Instant(at + round(wait * SECOND)))
    return CountedQuestion(
        agent=agent,
        asked=at,
        state=state,
        answers=(given,) if wait >= 0 else (),
        displays=(Display(person="ada", at=at, length=1_000),),
    )


def test_questions_are_counted_by_agent_and_person_and_the_busiest_hour_is_found() -> None:
    seen = [question(one) for one in (0, 30, 59.9, 60, 61, 200)] + [question(0, agent="other")]
    agents, (ada,) = weigh(seen, LIMITS)
    assert [(one.agent, one.asked, one.busiest) for one in agents] == [("bot", 6, 4), ("other", 1, 1)]
    assert agents[0].states == {"pending": 6}
    assert (ada.shown, ada.busiest, ada.yes, ada.median, ada.speed) == (7, 4, 0, -1, -1)


def test_an_hour_is_an_hour_and_its_end_is_in_the_next() -> None:
    agents, _ = weigh([question(0), question(HOUR / SECOND / 60)], LIMITS)
    assert agents[0].busiest == 1


def test_answers_are_counted_with_the_median_time_and_the_speed_that_it_took() -> None:
    unseen = replace(question(9), displays=(), answers=(answer("ben"),))
    denied = replace(question(9, wait=1), answers=(answer("ada", AnswerKind.DENY),))
    proven = replace(question(9), displays=(), answers=(answer("tickets", AnswerKind.EVIDENCE),))
    _, (ada, ben) = weigh(
        [question(0, wait=2), question(1, wait=20), question(2, wait=30), unseen, denied, proven], LIMITS
    )
    assert (ada.yes, ada.no, ada.hasty, ada.unseen) == (3, 1, 1, 0)
    assert (ada.median, ada.speed) == (20 * SECOND, 50)
    assert (ben.yes, ben.hasty, ben.unseen, ben.shown, ben.median) == (1, 1, 1, 0, -1)
