from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action import ActionState, PriorAction, make_action
from taskbound.core.clock import Instant
from taskbound.core.decision import (
    ActHistory,
    Evaluated,
    Hold,
    Holding,
    Locked,
    OpenHolds,
    Permit,
    Presentation,
    Proposal,
    ReadVersions,
    Reason,
    Refuse,
    Repeated,
    Settled,
    Settlement,
    Stale,
    presentation_names,
    settle,
)
from taskbound.core.revocation import KillSwitch
from taskbound.core.scope import Charge, Covered, Rate
from taskbound.core.scope.limits import Payer
from taskbound.core.task import TaskHead, TaskState

TASK, ROOT, TOOL = "tsk_a", "tsk_a", "pay__pay"
HEAD = TaskHead(
    namespace="default",
    id=TASK,
    agent="coder",
    parent="",
    state=TaskState.RUNNING,
    deadline=Instant(100),
    version=3,
)


def payer(grant: str, **limits: int) -> Payer:
    return Payer(
        grant=grant, charges=tuple(Charge(limit=name, amount=amount) for name, amount in limits.items())
    )


def proposal(number: int = 1, *payers: Payer, amount: int = 1, key: str = "", request: str = "") -> Proposal:
    action = make_action(
        namespace="default",
        task=TASK,
        agent="coder",
        tool=TOOL,
        server="s" * 64,
        definition="d" * 64,
        arguments={"amount": amount},
    )
    return Proposal(
        id=f"act_{number}",
        action=action,
        root=ROOT,
        presented=Presentation(connection="con_1", request=request or str(number), key=key),
        verdict=Evaluated(
            covered=Covered(tool=TOOL, payers=payers or (payer("g0", uses=1),)), policies=("p",)
        ),
        basis=ReadVersions(
            tasks=((TASK, 3),),
            agent=2,
            switch=0,
            tool=4,
            bundle="b",
            last_outcome="none",
            reads_outcome=True,
        ),
        flags=(),
        scope="c",
    )


def holding(*policies: str) -> Holding:
    hold = Hold(reasons=(), policies=policies, lifters=("confirm",))
    return Holding(covered=Covered(tool=TOOL, payers=(payer("g0", uses=1),)), hold=hold)


def locked(**changes: Any) -> Locked:
    plain = Locked(
        switch=KillSwitch(),
        tasks={TASK: HEAD},
        agents={"coder": 2},
        tools={TOOL: 4},
        left={TASK: {"uses": 1, "total": 100}},
        priors={},
        acts={},
        bundle="b",
    )
    return replace(plain, **changes)


def run(*proposals: Proposal, now: int = 50, **changes: Any) -> Settlement:
    return settle(proposals, locked(**changes), now=Instant(now), until=Instant(now + 30))


def code_of(answer: object) -> str:
    match answer:
        case Settled(decision=Refuse(code=code)):
            return code
        case Settled(decision=Permit()):
            return "permit"
        case Settled(decision=Hold()):
            return "hold"
        case Stale():
            return "stale"
        case Repeated():
            return "repeated"
    raise AssertionError(answer)


def test_a_covered_action_is_permitted_and_takes_its_charges() -> None:
    settlement = run(proposal())
    assert code_of(settlement.answers[0]) == "permit"
    assert settlement.left == {(TASK, "uses"): (1, 0)}
    assert list(settlement.acts.values()) == [
        ActHistory(attempts=1, last_action="act_1", last_at=Instant(50))
    ]


def test_of_64_proposals_for_one_remaining_use_one_is_permitted() -> None:
    settlement = run(*(proposal(number) for number in range(64)))
    codes = [code_of(answer) for answer in settlement.answers]
    assert codes == ["permit"] + ["exhausted"] * 63
    assert settlement.left == {(TASK, "uses"): (1, 0)}


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": {TASK: replace(HEAD, version=4)}},
        {"tasks": {}},
        {"agents": {"coder": 3}},
        {"agents": {}},
        {"tools": {TOOL: 5}},
        {"tools": {}},
        {"switch": KillSwitch(stopped=True, epoch=1)},
        {"switch": KillSwitch(stopped=False, epoch=2)},
        {"bundle": "other"},
        {"acts": {(ROOT, proposal().action.act_key): ActHistory(attempts=1, last_outcome="unknown")}},
    ],
    ids=[
        "task",
        "task-gone",
        "agent",
        "agent-gone",
        "tool",
        "tool-gone",
        "stopped",
        "stopped-and-lifted",
        "bundle",
        "outcome",
    ],
)
def test_what_changed_since_evaluation_makes_a_proposal_stale_and_it_takes_nothing(
    changes: dict[str, Any],
) -> None:
    settlement = run(proposal(), **changes)
    assert code_of(settlement.answers[0]) == "stale"
    assert (settlement.left, settlement.acts) == ({}, {})


def test_neighbors_that_share_a_frame_are_stale_each_by_its_own_basis() -> None:
    fresh, old = proposal(1), proposal(2)
    old = replace(old, action=fresh.action, basis=replace(old.basis, agent=1))
    assert [code_of(one) for one in run(fresh, old, fresh).answers] == ["permit", "stale", "repeated"]


def test_neighbors_that_share_a_basis_are_stale_each_by_its_own_tool() -> None:
    one = proposal()
    other = replace(one.action, frame=replace(one.action.frame, tool="pay__other"))
    answers = run(replace(one, id="act_2", action=other), one).answers
    assert [code_of(answer) for answer in answers] == ["stale", "permit"]


def test_neighbors_that_share_a_standing_are_stale_each_by_its_own_act() -> None:
    one, again = proposal(1), proposal(2, amount=2)
    again = replace(again, basis=one.basis, action=replace(again.action, frame=one.action.frame))
    acts = {(ROOT, again.action.act_key): ActHistory(attempts=1, last_outcome="unknown")}
    assert [code_of(answer) for answer in run(one, again, acts=acts).answers] == ["permit", "stale"]


def test_an_outcome_that_no_policy_reads_makes_nothing_stale() -> None:
    one = proposal()
    one = replace(one, basis=replace(one.basis, reads_outcome=False))
    acts = {(ROOT, one.action.act_key): ActHistory(attempts=7, last_outcome="unknown")}
    settlement = run(one, acts=acts)
    assert code_of(settlement.answers[0]) == "permit"
    (act,) = settlement.acts.values()
    assert act == ActHistory(attempts=8, last_outcome="unknown", last_action="act_1", last_at=Instant(50))


def test_a_deadline_that_came_while_a_decision_waited_wins() -> None:
    assert code_of(run(proposal(), now=99).answers[0]) == "permit"
    late = run(proposal(), now=100)
    assert code_of(late.answers[0]) == "task-expired"
    assert late.left == {}


def test_a_stopped_namespace_refuses_also_what_was_evaluated_after_the_stop() -> None:
    one = proposal()
    one = replace(one, basis=replace(one.basis, switch=1))
    assert code_of(run(one, switch=KillSwitch(stopped=True, epoch=1)).answers[0]) == "stopped"


def test_the_first_covering_grant_with_everything_left_pays_all_or_nothing() -> None:
    both = (payer("g0", uses=1, total=500), payer("g1", total=60))
    settlement = run(proposal(1, *both), proposal(2, *both))
    first, second = settlement.answers
    assert isinstance(first, Settled)
    assert isinstance(first.decision, Permit)
    assert first.decision.grant == "g1"
    assert code_of(second) == "exhausted"
    assert settlement.left == {(TASK, "total"): (100, 40)}


def test_a_rate_takes_a_use_of_its_window_and_no_charge_that_could_be_given_back() -> None:
    rate = Rate(uses=2, seconds=1, key="g0/rate/1")
    limited = Payer(grant="g0", charges=(), rates=(rate,))
    rows = {"g0/rate/1": 0, "g0/rate/1/opened": 7}
    later = 1_000_007
    head = replace(HEAD, deadline=Instant(later + 100))
    settlement = run(
        *(proposal(number, limited) for number in range(3)), now=later, left={TASK: rows}, tasks={TASK: head}
    )
    assert [code_of(answer) for answer in settlement.answers] == ["permit", "permit", "exhausted"]
    assert all(not answer.charges for answer in settlement.answers if isinstance(answer, Settled))
    assert settlement.left == {(TASK, "g0/rate/1/opened"): (7, later)}
    early = run(proposal(1, limited), now=later - 1, left={TASK: rows}, tasks={TASK: head})
    assert [code_of(answer) for answer in early.answers] == ["exhausted"]


def test_a_duplicate_gets_what_came_before_and_takes_nothing() -> None:
    one = proposal(2, key="k")
    prior = PriorAction(id="act_1", digest=one.action.digest, state=ActionState.SUCCEEDED)
    for name in presentation_names(one):
        settlement = run(one, priors={name: prior})
        assert settlement.answers == (Repeated(prior=prior),)
        assert (settlement.left, settlement.acts) == ({}, {})


def test_a_duplicate_within_one_group_is_one() -> None:
    settlement = run(proposal(1, key="k"), proposal(2, key="k"), proposal(3, request="1"))
    assert [code_of(answer) for answer in settlement.answers] == ["permit", "repeated", "repeated"]
    assert settlement.left == {(TASK, "uses"): (1, 0)}


def test_a_key_that_comes_with_another_action_is_refused() -> None:
    settlement = run(proposal(1, key="k"), proposal(2, key="k", amount=2))
    assert [code_of(answer) for answer in settlement.answers] == ["permit", "key-reused"]


def test_a_request_that_was_refused_is_decided_again() -> None:
    refused = replace(
        proposal(1, key="k"),
        verdict=Refuse(code="outside-scope", reasons=(Reason(code="x", text="x"),), instead="y"),
    )
    settlement = run(refused, proposal(1, key="k"))
    assert [code_of(answer) for answer in settlement.answers] == ["outside-scope", "permit"]


def test_an_ended_task_releases_no_stored_answer() -> None:
    one = proposal(2, key="k")
    prior = PriorAction(id="act_1", digest=one.action.digest, state=ActionState.SUCCEEDED)
    ended = replace(HEAD, state=TaskState.REVOKED)
    priors = dict.fromkeys(presentation_names(one), prior)
    assert code_of(run(one, priors=priors, tasks={TASK: ended}).answers[0]) == "task-ended"


def test_a_refusal_is_settled_though_the_task_is_unknown() -> None:
    one = proposal()
    one = replace(
        one,
        basis=replace(one.basis, tasks=()),
        verdict=Refuse(code="no-task", reasons=(Reason(code="no-task", text="none"),), instead="ask"),
    )
    assert code_of(run(one, tasks={}, left={}).answers[0]) == "no-task"


ROOM = OpenHolds(holds={}, unaskable={}, room={TASK: 40}, hourly={"coder": 99}, superseded={}, anew={})


def test_a_hold_takes_nothing() -> None:
    held = replace(proposal(), verdict=holding("p"))
    settlement = run(held, places=ROOM)
    assert code_of(settlement.answers[0]) == "hold"
    assert (settlement.left, settlement.acts) == ({}, {})


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["ok", "stale", "refuse", "hold"])), max_size=40),
    st.integers(0, 120),
    st.integers(0, 10),
)
def test_law_3_no_group_takes_more_than_is_left_and_every_taking_has_its_permit(
    wanted: list[tuple[int, str]], total: int, uses: int
) -> None:
    proposals = []
    for number, (amount, kind) in enumerate(wanted):
        one = proposal(number, payer("g0", uses=1, total=amount))
        if kind == "stale":
            one = replace(one, basis=replace(one.basis, agent=99))
        elif kind == "refuse":
            one = replace(one, verdict=Refuse(code="x", reasons=(), instead=""))
        elif kind == "hold":
            one = replace(one, verdict=holding())
        proposals.append(one)
    settlement = run(*proposals, left={TASK: {"uses": uses, "total": total}}, places=ROOM)

    # The same, as plainly as can be.
    have = {"uses": uses, "total": total}
    plain = []
    for amount, kind in wanted:
        if kind != "ok":
            plain.append({"stale": "stale", "refuse": "x", "hold": "hold"}[kind])
        elif have["uses"] >= 1 and have["total"] >= amount:
            have = {"uses": have["uses"] - 1, "total": have["total"] - amount}
            plain.append("permit")
        else:
            plain.append("exhausted")
    assert [code_of(answer) for answer in settlement.answers] == plain
    after = {name: left for (_, name), (_, left) in settlement.left.items()}
    assert {"uses": uses, "total": total} | after == have
    assert min(have.values()) >= 0


def test_neighbors_do_not_change_each_others_answers() -> None:
    wanted = [proposal(number, payer("g0", total=1)) for number in range(10)]
    alone = [code_of(run(one).answers[0]) for one in wanted]
    poisoned = replace(wanted[4], basis=replace(wanted[4].basis, bundle="other"))
    together = [code_of(one) for one in run(*wanted[:4], poisoned, *wanted[5:]).answers]
    assert together == [*alone[:4], "stale", *alone[5:]]
