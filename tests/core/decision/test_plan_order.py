from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.clock import Instant
from taskbound.core.decision import OpenHold, OpenHolds, OpenPlan, Planned, Presentation, Proposal, Waiting
from tests.core.decision.test_hold import held, word
from tests.core.decision.test_settle import TASK, run

if TYPE_CHECKING:
    from taskbound.core.decision import Settlement

STEPS = 4


def digest_of(number: int) -> str:
    return f"{number}" * 64


def call(which: int, number: int, *, resume: str = "") -> Proposal:
    """A call of the step of this number, or of none for 0; `number` tells calls apart."""
    one = held(number)
    act = replace(one.action)
    object.__setattr__(act, "digest", digest_of(which))
    presented = Presentation(connection="con_1", request=f"r{number}")
    return replace(one, action=act, id=f"act_new{number}", presented=presented, resume=resume)


def step(number: int, *, lifted: bool = True) -> OpenHold:
    return OpenHold(
        approval=f"apr_{number}",
        action=f"act_{number}",
        connection="",
        request="",
        waits=Instant(0),
        lifted=lifted,
    )


def place(first: int = 1, *, runs: str = "", lifted: bool = True) -> OpenPlan:
    steps = tuple((digest_of(number), step(number, lifted=lifted)) for number in range(first, STEPS + 1))
    return OpenPlan(plan="pln_1", first=first, steps=steps, runs=runs)


def settled(*calls: Proposal, plan: OpenPlan, **more: object) -> Settlement:
    places = OpenHolds(
        holds={},
        unaskable={},
        room={TASK: 99},
        hourly={"coder": 99},
        superseded={},
        anew={},
        plans={TASK: plan},
    )
    return run(*calls, places=places, left={TASK: {"uses": 99}}, **more)  # type: ignore[arg-type]  # as `run` takes it


def words(settlement: Settlement) -> list[str]:
    return [word(one) for one in settlement.answers]


def test_the_next_step_is_permitted_and_the_one_behind_it_waits() -> None:
    found = settled(call(1, 1), call(2, 2), plan=place())
    assert words(found) == ["permit", "waits for act_2"]
    assert found.differed == {}


@pytest.mark.parametrize("which", [0, 2, 3, 4])
def test_another_call_than_the_next_step_ends_the_plan_and_is_asked_about(which: int) -> None:
    found = settled(call(which, 1), call(1, 2), plan=place())
    assert words(found) == ["hold", "hold"]
    assert list(found.differed) == ["pln_1"]


def test_a_step_that_is_called_twice_in_a_group_is_used_once() -> None:
    found = settled(call(1, 1), call(1, 2), call(2, 3), plan=place())
    assert words(found) == ["permit", "hold", "hold"]
    assert list(found.differed) == ["pln_1"]


def behind(found: Settlement) -> list[str]:
    """For which action each call waits that waits."""
    return [one.hold.behind for one in found.answers if isinstance(one, Waiting)]


def test_what_nobody_has_signed_is_waited_for_by_its_first_call() -> None:
    found = settled(call(1, 1), plan=place(lifted=False))
    assert (words(found), found.differed) == (["waits for act_1"], {})
    found = settled(call(1, 1), call(1, 2), plan=place(lifted=False))
    assert words(found) == ["waits for act_1", "hold"]


def test_the_next_step_waits_while_the_one_before_it_runs() -> None:
    found = settled(call(2, 1), plan=place(2, runs="act_1"))
    assert (words(found), found.left, found.differed) == (["waits for act_2"], {}, {})
    assert behind(found) == ["act_1"]
    assert behind(settled(call(1, 1), plan=place(lifted=False))) == [""]
    assert behind(settled(call(1, 1), call(2, 2), plan=place())) == ["act_1"], "in one group too"


def test_a_call_that_names_what_is_over_is_refused_and_leaves_the_plan() -> None:
    found = settled(call(0, 1, resume="act_gone"), plan=place())
    assert (words(found), found.differed) == (["hold-over"], {})


def test_what_is_asked_about_as_a_step_of_a_plan_is_new() -> None:
    planned = replace(call(1, 1), planned=Planned(plan="pln_2", step=1))
    found = settled(planned, plan=place())
    assert (words(found), found.differed) == (["hold"], {})


class Model:
    """The rule in few words: whose turn it is, whether the one before runs, and whether somebody differed."""

    def __init__(self, *, lifted: bool) -> None:
        self.turn, self.runs, self.over, self.taken, self.lifted = 1, False, False, 0, lifted

    def call(self, which: int) -> str:
        if self.over or self.turn > STEPS:
            return "hold"
        if which != self.turn or self.taken == which:
            self.over = True
            return "hold"
        self.taken = which
        if not self.lifted or self.runs:
            return f"waits for act_{which}"
        self.turn, self.runs = self.turn + 1, True
        return "permit"

    def commit(self) -> None:
        """The group is written, and the step that runs succeeds before the next."""
        self.runs, self.taken = False, 0


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.lists(st.integers(0, STEPS), min_size=1, max_size=5), max_size=8), st.sampled_from("yn"))
def test_each_step_is_used_at_most_once_in_order_and_never_after_a_call_that_differs(
    groups: list[list[int]], signed: str
) -> None:
    model = Model(lifted=signed == "y")
    used: list[int] = []
    number = 0
    for group in groups:
        if model.over or model.turn > STEPS:
            break
        found = settled(
            *(call(which, number + place_) for place_, which in enumerate(group, 1)),
            plan=place(model.turn, lifted=model.lifted),
        )
        number += len(group)
        assert words(found) == [model.call(which) for which in group]
        assert list(found.differed) == ["pln_1"] * model.over
        used += [which for which, said in zip(group, words(found), strict=True) if said == "permit"]
        model.commit()
    assert used == list(range(1, len(used) + 1))
