from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.approval import (
    Answer,
    AnswerKind,
    EligibleApprovers,
    NoApproverError,
    NotEntitledError,
    askable,
    missing,
    parse_lifter,
    require_askable,
    require_entitled,
    require_wanted,
    yes_of,
)
from taskbound.core.identity import Group, PersonState
from tests.core.approval.values import CIRCLE, KEYS, LINKED, PEOPLE, answer, circle, person, question

ONE = parse_lifter("approval:finance")
TWO = parse_lifter("approval:finance:2")
PROOF = parse_lifter("evidence:jws.tickets")
ANYBODYS = parse_lifter("evidence:jws")
CONFIRM = parse_lifter("confirm")
AGENTS = parse_lifter("approval:agent")


def test_members_of_the_group_may_answer_and_the_requester_may_not_though_a_member() -> None:
    assert askable(ONE, CIRCLE) == {"ada", "ada-again", "ben", "cleo"}


def test_the_agents_approvers_answer_where_the_policy_names_them() -> None:
    assert askable(AGENTS, CIRCLE) == {"owen"}


def test_a_second_account_of_the_requester_may_not_answer() -> None:
    linked = circle(human=lambda name: {"cleo": "rita"}.get(name, name))
    assert "cleo" not in askable(ONE, linked)


def test_who_asked_for_an_ancestor_or_descendant_may_not_answer() -> None:
    assert askable(ONE, circle(kin=frozenset({"ben"}))) == {"ada", "ada-again", "cleo"}


def test_a_second_account_of_who_asked_for_an_ancestor_may_not_answer() -> None:
    assert askable(ONE, circle(kin=frozenset({"ada-again"}))) == {"ben", "cleo"}


def test_a_person_who_left_may_not_answer() -> None:
    persons = {name: person(name) for name in PEOPLE} | {"ben": person("ben", PersonState.GONE)}
    assert "ben" not in askable(ONE, circle(persons=persons))


def test_the_owner_who_is_the_requester_is_no_approver_of_the_agent() -> None:
    assert askable(AGENTS, circle(approvers=("rita",))) == frozenset()


def test_only_the_requester_confirms() -> None:
    assert askable(CONFIRM, CIRCLE) == {"rita"}
    require_entitled(AnswerKind.CONFIRM, "rita", (CONFIRM,), CIRCLE)
    with pytest.raises(NotEntitledError, match="cannot answer"):
        require_entitled(AnswerKind.CONFIRM, "ada", (CONFIRM,), CIRCLE)


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        (AnswerKind.APPROVE, "rita"),
        (AnswerKind.DENY, "rita"),
        (AnswerKind.APPROVE, "owen"),
        (AnswerKind.DENY, "owen"),
        (AnswerKind.CONFIRM, "ada"),
        (AnswerKind.APPROVE, "mallory"),
    ],
)
def test_an_answer_of_somebody_who_is_not_asked_does_not_count(kind: AnswerKind, who: str) -> None:
    with pytest.raises(NotEntitledError):
        require_entitled(kind, who, (ONE,), CIRCLE)


@pytest.mark.parametrize("kind", [AnswerKind.APPROVE, AnswerKind.DENY])
def test_an_answer_of_a_member_counts(kind: AnswerKind) -> None:
    require_entitled(kind, "ada", (ONE,), CIRCLE)


def test_the_requester_can_deny_what_asks_for_their_word_and_not_approve_it() -> None:
    require_entitled(AnswerKind.DENY, "rita", (ONE, CONFIRM), CIRCLE)
    with pytest.raises(NotEntitledError, match="can confirm this, and not approve"):
        require_entitled(AnswerKind.APPROVE, "rita", (ONE, CONFIRM), CIRCLE)


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ((), "`approval:finance:2` has 0 of 2"),
        ((answer("ada"),), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ada-again")), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ada", key="key-ada-again")), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("rita")), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ben", AnswerKind.CONFIRM)), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ben", AnswerKind.DENY)), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ben", key="key-withdrawn")), "`approval:finance:2` has 1 of 2"),
        ((answer("ada"), answer("ben")), ""),
        ((answer("ada"), answer("ada-again"), answer("cleo")), ""),
    ],
)
def test_humans_are_counted_once_each(answers: tuple[Answer, ...], left: str) -> None:
    assert missing((TWO,), answers, CIRCLE, KEYS) == left


def test_who_left_the_group_between_answer_and_use_is_not_counted() -> None:
    given = (answer("ada"), answer("ben"))
    assert missing((TWO,), given, CIRCLE, KEYS) == ""
    without = circle(groups=(Group(namespace="default", name="finance", members=("ada", "cleo")),))
    assert missing((TWO,), given, without, KEYS) == "`approval:finance:2` has 1 of 2"


def test_accounts_that_turn_out_to_be_one_human_between_answer_and_use_count_once() -> None:
    given = (answer("ada"), answer("ben"))
    found = circle(human=lambda name: (LINKED | {"ben": "ada"}).get(name, name))
    assert missing((TWO,), given, found, KEYS) == "`approval:finance:2` has 1 of 2"


def test_a_confirmation_is_no_approval_and_an_approval_no_confirmation() -> None:
    assert missing((ONE, CONFIRM), (answer("ada"),), CIRCLE, KEYS) == "`confirm` has 0 of 1"
    confirmed = answer("rita", AnswerKind.CONFIRM)
    assert missing((ONE, CONFIRM), (confirmed,), CIRCLE, KEYS) == "`approval:finance` has 0 of 1"
    assert missing((ONE, CONFIRM), (answer("ada"), confirmed), CIRCLE, KEYS) == ""


@pytest.mark.parametrize(
    ("lifter", "who"),
    [
        ("approval:nowhere", CIRCLE),
        ("approval:agent", circle(approvers=())),
        ("approval:finance:4", CIRCLE),
        ("confirm", circle(requester="gone")),
    ],
)
def test_what_too_few_can_answer_is_refused_and_not_held(lifter: str, who: EligibleApprovers) -> None:
    with pytest.raises(NoApproverError, match=lifter):
        require_askable((parse_lifter(lifter),), who)


def test_what_enough_can_answer_is_held() -> None:
    require_askable((parse_lifter("approval:finance:3"), CONFIRM, AGENTS), CIRCLE)


@pytest.mark.parametrize(
    ("lifters", "who", "said"),
    [
        (("confirm",), "rita", AnswerKind.CONFIRM),
        (("confirm",), "ada", AnswerKind.APPROVE),
        (("approval:finance",), "rita", AnswerKind.APPROVE),
        (("approval:finance", "confirm"), "rita", AnswerKind.CONFIRM),
        (("approval:finance", "confirm"), "ada", AnswerKind.APPROVE),
    ],
)
def test_a_yes_confirms_only_where_the_requester_is_asked_to_confirm(
    lifters: tuple[str, ...], who: str, said: AnswerKind
) -> None:
    assert yes_of(question(lifters=lifters), who) is said


def test_those_who_approve_for_the_tool_go_before_those_of_the_agent_and_then_nobody_else_does() -> None:
    assert askable(AGENTS, circle(tool=("ben",))) == {"ben"}
    assert askable(AGENTS, circle(tool=())) == frozenset()
    assert askable(ONE, circle(tool=("owen",))) == {"ada", "ada-again", "ben", "cleo"}


def test_a_group_that_approves_for_a_tool_is_whoever_is_in_it_now_and_still_not_the_requester() -> None:
    named = circle(tool=("group:finance", "owen"))
    assert askable(AGENTS, named) == {*askable(ONE, CIRCLE), "owen"}
    assert askable(AGENTS, circle(tool=("group:finance",), groups=())) == frozenset()
    assert askable(AGENTS, circle(tool=("finance",))) == frozenset()
    of_tool = replace(AGENTS, tool="orders-db__credential/reader")
    amending = circle(tools={"orders-db__credential/reader": ("group:finance",)})
    assert askable(of_tool, amending) == askable(ONE, CIRCLE)


def test_i31_who_controls_the_agent_may_not_answer_nor_may_a_second_account_of_theirs() -> None:
    assert askable(ONE, circle(controllers=frozenset({"ben"}))) == {"ada", "ada-again", "cleo"}
    assert askable(ONE, circle(controllers=frozenset({"ada-again"}))) == {"ben", "cleo"}
    assert askable(AGENTS, circle(controllers=frozenset({"owen"}))) == frozenset()
    assert askable(CONFIRM, circle(controllers=frozenset({"rita"}))) == {"rita"}


def test_evidence_is_nobodys_to_answer_and_needs_an_issuer_who_is_believed() -> None:
    believed = circle(issuers=frozenset({"tickets"}))
    assert askable(PROOF, believed) == frozenset()
    require_askable((PROOF, ANYBODYS), believed)
    for need, known in ((PROOF, {"mail"}), (ANYBODYS, set())):
        with pytest.raises(NoApproverError):
            require_askable((need,), circle(issuers=frozenset(known)))


def test_evidence_counts_while_its_token_is_proven_and_only_of_the_issuer_that_is_named() -> None:
    given = answer("tickets", AnswerKind.EVIDENCE, key="token")
    assert missing((PROOF,), (given,), CIRCLE, {"token"}) == ""
    assert missing((ANYBODYS,), (given,), CIRCLE, {"token"}) == ""
    assert missing((PROOF,), (given,), CIRCLE, frozenset()) == "`evidence:jws.tickets` was not given"
    other = answer("mail", AnswerKind.EVIDENCE, key="token")
    assert missing((PROOF,), (other,), CIRCLE, {"token"})
    assert missing((PROOF,), (answer("tickets", key="token"),), CIRCLE, {"token"})
    assert missing((ONE,), (answer("ben", AnswerKind.EVIDENCE),), CIRCLE, KEYS)


def test_a_word_that_nobody_asks_for_is_not_taken() -> None:
    require_wanted("tickets", (ONE, PROOF))
    for who, needs in (("mail", (PROOF,)), ("tickets", (ONE, CONFIRM))):
        with pytest.raises(NotEntitledError):
            require_wanted(who, needs)
