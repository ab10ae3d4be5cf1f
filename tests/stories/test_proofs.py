from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    ApprovalOverError,
    ApprovalState,
    BadStatementError,
    NotEntitledError,
    OtherQuestionError,
    UnknownApprovalError,
)
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.issuer import UnknownIssuerError
from taskbound.flows.approval.proof.evidence import give_evidence
from taskbound.flows.approval.proof.kept import subject_of
from tests.peers.holding import Holding, hold_policy
from tests.sqlite import sqlite_store
from tests.stories.test_evidence import FIRST, SECOND, believe, doubt
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from taskbound.flows.approval.answers import Answered
    from taskbound.ports.store import Store

NAMED = hold_policy("evidence:jws.tickets")


@pytest.fixture
def there(store: Store) -> Holding:
    return settled(store)


@pytest.fixture
def here() -> Holding:
    return settled(sqlite_store())


def settled(store: Store, policy: str = NAMED) -> Holding:
    held = Holding(store, policy)
    believe(held.world)
    return held


def held(there: Holding, **more: Any) -> str:
    answer = there.world.ask(there.task, **more)
    assert code_of(answer) == "hold"
    return id_of(answer)


def token(there: Holding, action: str, by: Any = FIRST, **claims: Any) -> str:
    """What an issuer signs about the question of this action."""
    now = there.world.clock.now() // 1_000_000
    plain = {"iat": now, "exp": now + 600, "sub": subject_of(there.approval(action).question)}
    text: str = by.token(**plain | claims)
    return text


def give(there: Holding, action: str, text: str) -> Answered:
    return give_evidence(there.world.adapters, "default", there.approval(action).question.id, text, ANN)


def test_an_issuers_word_about_exactly_this_question_lifts_it_once(there: Holding) -> None:
    action = held(there)
    text = token(there, action)
    told, lacking = give(there, action, text)
    assert (told.state, lacking) == (ApprovalState.APPROVED, "")
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    again = held(there)
    assert again != action
    with pytest.raises(OtherQuestionError):
        give(there, again, text)
    (event,) = there.world.events("approval-proven")
    assert (event["approval"], event["issuer"]) == (there.approval(action).question.id, "tickets")
    assert text not in repr(there.world.records())


def test_a_token_about_anything_but_this_question_lifts_nothing(there: Holding) -> None:
    action = held(there)
    other = held(there, arguments={"to": "eve", "amount": 10})
    question = there.approval(action).question
    for subject in (question.digest, question.act, question.id, f"{subject_of(question)} ", "OPS-17"):
        with pytest.raises(OtherQuestionError):
            give(there, action, token(there, action, sub=subject))
    with pytest.raises(OtherQuestionError):
        give(there, action, token(there, other))
    assert there.state(action) == ("held", "pending")
    assert not there.world.events("approval-proven")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "urn:taskbound:acme"}, "token-audience"),
        ({"exp": 1_800_000_001, "iat": 1_800_000_000}, "token-expired"),
        ({"iss": "https://example.com/mail"}, "unknown-issuer"),
    ],
)
def test_a_token_that_the_gate_does_not_let_in_lifts_nothing(
    here: Holding, claims: dict[str, Any], code: str
) -> None:
    action = held(here)
    with pytest.raises(TaskboundError) as refused:
        give(
            here, action, token(here, action, **claims | ({"iat": 1_800_000_000} if "exp" in claims else {}))
        )
    assert refused.value.code == code
    with pytest.raises(TaskboundError):
        give(here, action, token(here, action, by=SECOND))
    assert here.state(action) == ("held", "pending")


def test_a_token_that_expires_before_the_use_lifts_nothing_any_more(there: Holding) -> None:
    action = held(there)
    give(there, action, token(there, action))
    there.world.clock.advance(601)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")


def test_an_issuer_who_is_believed_no_more_takes_its_word_along(there: Holding) -> None:
    action = held(there)
    give(there, action, token(there, action))
    doubt(there.world)
    assert code_of(there.world.ask(there.task)) == "no-approver"
    assert there.state(action) == ("withdrawn", "superseded")


def test_an_issuer_who_comes_back_with_another_key_brings_its_word_back_not(there: Holding) -> None:
    action = held(there)
    give(there, action, token(there, action))
    doubt(there.world)
    believe(there.world, SECOND)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer) == action) == ("hold", False)


def test_the_word_of_another_issuer_than_the_one_that_is_named_is_not_taken(here: Holding) -> None:
    believe(here.world, SECOND, name="mail", issuer="https://example.com/mail")
    action = held(here)
    mail = token(here, action, by=SECOND, iss="https://example.com/mail")
    with pytest.raises(NotEntitledError):
        give(here, action, mail)
    give(here, action, token(here, action))


def test_any_issuer_will_do_where_none_is_named() -> None:
    here = settled(sqlite_store(), hold_policy("evidence:jws"))
    believe(here.world, SECOND, name="mail", issuer="https://example.com/mail")
    action = held(here)
    give(here, action, token(here, action, by=SECOND, iss="https://example.com/mail"))
    assert code_of(here.world.ask(here.task)) == "permit"


def test_evidence_and_a_person_are_both_needed_where_both_are_asked_for(store: Store) -> None:
    more = '@id("too") @hold("approval:finance") forbid (principal, action, resource);'
    there = settled(store, NAMED + more)
    action = held(there)
    told, lacking = give(there, action, token(there, action))
    assert (told.state, lacking) == (ApprovalState.PENDING, "`approval:finance` has 0 of 1")
    assert code_of(there.world.ask(there.task)) == "hold"
    there.say(action, "bob")
    assert code_of(there.world.ask(there.task)) == "permit"


def test_a_person_signs_no_evidence_and_lifts_nothing_that_asks_for_it(here: Holding) -> None:
    action = held(here)
    with pytest.raises(BadStatementError):
        here.say(action, "bob", AnswerKind.EVIDENCE)
    for who, kind in (("bob", AnswerKind.APPROVE), ("ann", AnswerKind.CONFIRM)):
        with pytest.raises(NotEntitledError):
            here.say(action, who, kind)


def test_evidence_of_a_question_that_is_over_unknown_or_proven_already_is_refused(here: Holding) -> None:
    action = held(here)
    give(here, action, token(here, action))
    with pytest.raises(AlreadyAnsweredError):
        give(here, action, token(here, action))
    text = token(here, action)
    here.world.approvals.withdraw("default", here.approval(action).question.id, ANN, reason="")
    with pytest.raises(ApprovalOverError):
        give(here, action, text)
    with pytest.raises(UnknownApprovalError):
        give_evidence(here.world.adapters, "default", "apr_none", text, ANN)


def test_evidence_that_comes_when_the_ground_is_gone_ends_the_question(there: Holding) -> None:
    action = held(there)
    text = token(there, action)
    there.rule(NAMED + '@id("more") permit (principal, action, resource);')
    with pytest.raises(ApprovalOverError):
        give(there, action, text)
    assert there.state(action) == ("withdrawn", "superseded")


def test_what_no_believed_issuer_could_prove_is_refused_and_not_held(store: Store) -> None:
    there = Holding(store, NAMED)
    assert code_of(there.world.ask(there.task)) == "no-approver"
    believe(there.world)
    assert code_of(there.world.ask(there.task)) == "hold"


def test_a_row_of_evidence_that_somebody_wrote_by_hand_counts_for_nothing(there: Holding) -> None:
    from taskbound.core.approval import Answer  # noqa: PLC0415  # of this story alone

    action = held(there)
    name = there.approval(action).question.id
    forged = Answer(
        kind=AnswerKind.EVIDENCE,
        person="tickets",
        key="70" * 32,
        at=Instant(1),
        received=Instant(1),
        statement=b"a.b.c",
        signature=b"",
    )
    there.world.store.write(lambda tx: tx.approvals.put_answer("default", name, forged))
    assert code_of(there.world.ask(there.task)) == "hold"
    assert there.state(action) == ("held", "pending")


def test_an_unknown_issuer_is_named_before_anything_is_written(here: Holding) -> None:
    action = held(here)
    doubt(here.world)
    with pytest.raises(UnknownIssuerError):
        give(here, action, token(here, action))
