"""Holds of calls that only people lift who have signed in as a policy asks for it (RFC 9470)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import Answer, AnswerKind, AnswerSignIn, ApprovalState, NotEntitledError
from taskbound.core.clock import Instant
from taskbound.core.identity.proof import Principal, PrincipalKind, TokenProof
from taskbound.core.policy.operation import StepUpError
from taskbound.flows.approval.proof.kept import signed_in_by
from taskbound.flows.identity.account import unlink_account
from taskbound.flows.token import PersonTokenOrder
from taskbound.flows.token.revoking import revoke_token
from tests.peers.holding import Holding, hold_policy
from tests.peers.planning import FIRST, LAST, SECOND, Planner
from tests.peers.stepping import STEP, Stepping, also_held
from tests.sqlite import sqlite_store
from tests.token_world import ISSUER, KEY, TokenWorld
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from taskbound.core.action import JsonValue
    from taskbound.ports.store import Store

PENDING, APPROVED, SUPERSEDED = ApprovalState.PENDING, ApprovalState.APPROVED, ApprovalState.SUPERSEDED


@pytest.fixture
def there(store: Store) -> Stepping:
    return Stepping(store)


@pytest.fixture
def here() -> Stepping:
    """On SQLite only: what is asked is no matter of the engine."""
    return Stepping(sqlite_store())


def held(one: Holding) -> str:
    answer = one.world.ask(one.task)
    assert code_of(answer) == "hold", answer
    return id_of(answer)


def refused(one: Stepping, action: str, who: str, signed: AnswerSignIn | None) -> StepUpError:
    with pytest.raises(StepUpError) as caught:
        one.say_by(action, who, signed)
    assert one.approval(action).answers == ()
    assert one.state(action) == ("held", "pending")
    return caught.value


def test_a_call_runs_once_when_who_said_yes_had_signed_in_as_policy_asks(there: Stepping) -> None:
    action = held(there)
    signed = there.sign_in("bob")
    told, lacking = there.say_by(action, "bob", signed)
    assert (told.state, lacking) == (APPROVED, "")
    (given,) = there.approval(action).answers
    assert given.sign_in == signed
    (said,) = there.world.events("approval-answered")
    assert (said["acr"], said["authenticated"]) == ("mfa", signed.at)
    answer = there.world.ask(there.task)
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    there.world.tell(action)
    assert held(there) != action  # used once


@pytest.mark.parametrize(
    ("acr", "ago"), [("pwd", 10), ("", 10), ("mfa", 301), ("mfa", -1), ("MFA", 10), ("mfa mfa", 10)]
)
def test_a_yes_with_another_sign_in_is_refused_and_says_how_to_sign_in(
    here: Stepping, acr: str, ago: int
) -> None:
    action = held(here)
    error = refused(here, action, "bob", here.sign_in("bob", acr=acr, ago=ago))
    assert (error.code, error.acr, error.within) == ("step-up", "mfa", 300)
    assert "signed in as `mfa`, at most 300 seconds ago" in error.message
    assert code_of(here.world.ask(here.task)) != "permit"


def test_a_terminal_a_key_and_a_passkey_know_of_no_sign_in_and_can_deny_all_the_same(here: Stepping) -> None:
    action = held(here)
    refused(here, action, "bob", None)
    told, _ = here.say_by(action, "carl", None, AnswerKind.DENY)
    assert told.state is ApprovalState.DENIED
    assert here.state(action) == ("refused", "denied")


def test_a_sign_in_that_ended_before_its_answer_came_is_none(here: Stepping) -> None:
    action = held(here)
    signed = here.sign_in("bob")
    here.end(signed)
    refused(here, action, "bob", signed)
    refused(here, action, "bob", replace(here.sign_in("carl"), acr="mfa"))  # a session of somebody else


def test_whoever_is_not_asked_is_told_that_and_not_to_sign_in(here: Stepping) -> None:
    action = held(here)
    with pytest.raises(NotEntitledError):
        here.say_by(action, "ann", None)


def test_an_answer_counts_no_more_when_its_sign_in_has_ended_and_people_are_asked_anew(
    there: Stepping,
) -> None:
    action = held(there)
    signed = there.sign_in("bob")
    assert there.say_by(action, "bob", signed)[0].state is APPROVED
    there.end(signed)
    again = held(there)
    assert again != action
    assert there.approval(action).state is SUPERSEDED
    assert there.say_by(again, "bob", there.sign_in("bob"))[0].state is APPROVED
    assert code_of(there.world.ask(there.task)) == "permit"


def test_an_answer_is_worth_nothing_when_its_account_was_unlinked(here: Stepping) -> None:
    action = held(here)
    here.say_by(action, "bob", here.sign_in("bob"))
    unlink_account(
        here.world.adapters, "default", "bob", issuer="corp", subject="s-bob", actor=ANN, owns=True
    )
    assert held(here) != action
    assert here.approval(action).state is SUPERSEDED


def test_a_sign_in_is_as_old_as_it_was_when_the_answer_came(here: Stepping) -> None:
    action = held(here)
    here.say_by(action, "bob", here.sign_in("bob", ago=299))
    here.world.clock.advance(1800)
    assert code_of(here.world.ask(here.task)) == "permit"


def test_other_policies_that_ask_for_another_sign_in_ask_people_anew(here: Stepping) -> None:
    action = held(here)
    here.say_by(action, "bob", here.sign_in("bob"))
    here.rule(also_held("approval:finance", "step-up:phr"))
    again = held(here)
    assert (again != action, here.approval(action).state) == (True, SUPERSEDED)
    refused(here, again, "bob", here.sign_in("bob"))
    assert here.say_by(again, "bob", here.sign_in("bob", acr="phr"))[0].state is APPROVED


def test_each_of_two_has_to_have_signed_in_so(there: Stepping) -> None:
    two = there
    two.rule(also_held("approval:finance:2", STEP))
    action = held(two)
    first = two.sign_in("bob")
    told, lacking = two.say_by(action, "bob", first)
    assert (told.state, lacking) == (
        PENDING,
        "`approval:finance:2` has 1 of 2, signed in as `mfa`, at most 300 seconds ago",
    )
    with pytest.raises(StepUpError):
        two.say_by(action, "carl", two.sign_in("carl", acr="pwd"))
    two.world.clock.advance(600)
    told, lacking = two.say_by(action, "carl", two.sign_in("carl"))
    assert (told.state, lacking) == (APPROVED, "")
    assert code_of(two.world.ask(two.task)) == "permit"


def test_who_signed_out_before_the_second_answered_is_asked_anew_with_everybody(here: Stepping) -> None:
    here.rule(also_held("approval:finance:2", STEP))
    action = held(here)
    first = here.sign_in("bob")
    here.say_by(action, "bob", first)
    here.end(first)
    told, lacking = here.say_by(action, "carl", here.sign_in("carl"))
    assert (told.state, lacking.split(",")[0]) == (PENDING, "`approval:finance:2` has 1 of 2")
    again = held(here)
    assert (again != action, here.approval(action).state) == (True, SUPERSEDED)
    here.say_by(again, "bob", here.sign_in("bob"))
    assert here.say_by(again, "carl", here.sign_in("carl"))[0].state is APPROVED


def test_alone_it_is_the_requesters_own_word_with_that_sign_in() -> None:
    here = Stepping(sqlite_store(), hold_policy(STEP))
    action = held(here)
    with pytest.raises(NotEntitledError):
        here.say_by(action, "bob", here.sign_in("bob"))
    with pytest.raises(StepUpError):
        here.say_by(action, "ann", here.sign_in("ann", acr="pwd"), AnswerKind.CONFIRM)
    told, lacking = here.say_by(action, "ann", here.sign_in("ann"), AnswerKind.CONFIRM)
    assert (told.state, lacking) == (APPROVED, "")
    assert code_of(here.world.ask(here.task)) == "permit"


def test_several_that_are_asked_for_are_all_needed() -> None:
    here = Stepping(sqlite_store(), also_held("confirm", "step-up:mfa", "step-up:@60"))
    action = held(here)
    with pytest.raises(StepUpError) as caught:
        here.say_by(action, "ann", here.sign_in("ann", acr="pwd", ago=61), AnswerKind.CONFIRM)
    assert (caught.value.acr, caught.value.within) == ("mfa", 60)
    with pytest.raises(StepUpError):
        here.say_by(action, "ann", here.sign_in("ann", ago=61), AnswerKind.CONFIRM)
    assert here.say_by(action, "ann", here.sign_in("ann", ago=59), AnswerKind.CONFIRM)[0].state is APPROVED


def test_nobody_is_asked_who_has_no_account_to_sign_in_with() -> None:
    here = Stepping(sqlite_store(), linked=False)
    assert code_of(here.world.ask(here.task)) == "no-approver"


def test_an_answer_that_was_kept_without_a_sign_in_counts_for_nothing_that_asks_for_one(
    there: Stepping,
) -> None:
    there.rule(also_held("approval:finance:2", STEP))
    action = held(there)
    raw = there.statement(action, "carl")
    key, device = there.devices["carl"]
    old = Answer(
        kind=AnswerKind.APPROVE,
        person="carl",
        key=key.id,
        at=there.world.clock.now(),
        received=there.world.clock.now(),
        statement=raw,
        signature=device.sign(raw),
    )
    name = there.approval(action).question.id
    there.world.store.write(lambda tx: tx.approvals.put_answer("default", name, old))
    told, lacking = there.say_by(action, "bob", there.sign_in("bob"))
    assert (told.state, lacking.split(",")[0]) == (PENDING, "`approval:finance:2` has 1 of 2")
    assert code_of(there.world.ask(there.task)) == "hold"


def test_narrowing_is_a_yes_and_needs_the_sign_in_too(here: Stepping) -> None:
    action = held(here)
    less: JsonValue = {"amount": 40, "to": "bob"}
    with pytest.raises(StepUpError):
        here.narrow(action, "bob", less)
    assert here.state(action) == ("held", "pending")


def test_who_says_yes_to_a_plan_has_to_have_signed_in_so_and_who_denies_it_need_not() -> None:
    class Both(Planner, Stepping):
        """People of finance with accounts, and plans for them."""

    here = Both(sqlite_store())
    plan = here.propose(FIRST, SECOND)
    raw = here.statement_of(plan, "bob")
    signature = here.devices["bob"][1].sign(raw)
    for signed in (None, here.sign_in("bob", acr="pwd")):
        with pytest.raises(StepUpError):
            here.world.plans.answer("default", raw, signature, signed)
    signed = here.sign_in("bob")
    assert here.world.plans.answer("default", raw, signature, signed).state is APPROVED
    first = here.call(FIRST)
    assert code_of(first) == "permit"
    here.world.tell(id_of(first))
    here.end(signed)
    assert code_of(here.call(SECOND)) == "hold"
    assert here.stands(plan)[0] == "superseded"
    here.task = here.world.start()
    assert here.sign(here.propose(LAST, FIRST), "carl", AnswerKind.DENY).state is ApprovalState.DENIED


def test_a_narrower_call_that_policy_asks_a_sign_in_for_is_not_approved_by_the_narrowing() -> None:
    small = (
        '@id("small") @hold("step-up:mfa")'
        ' forbid (principal, action == Taskbound::Action::"bank__pay", resource)'
        ' when { context.arguments.amount == decimal("5.0") };'
    )
    here = Stepping(sqlite_store(), hold_policy("approval:finance") + small)
    done = here.narrow(held(here), "bob", {"amount": 5, "to": "bob"})
    assert done.instead.state is PENDING
    assert "signed in as `mfa`" in done.missing
    assert here.say_by(done.instead.action, "bob", here.sign_in("bob"))[0].state is APPROVED


class Issued:
    """Persons' tokens of the same world."""

    def __init__(self, one: Stepping, folder: Path) -> None:
        self.one = one
        self.tokens = TokenWorld(one.world.store, folder, world=one.world)
        self.tokens.keys.tend()

    def principal(self, who: str, *, acr: str = "mfa", at: int | None = None) -> Principal:
        now = self.one.world.clock.now()
        order = PersonTokenOrder(
            namespace="default",
            person=who,
            audience=ISSUER,
            binding=KEY,
            acr=acr,
            authenticated=Instant(now if at is None else at),
        )
        row = self.tokens.tokens.issue_person_token(order, ANN).token
        proof = TokenProof(token=row.id, binding=KEY)
        return Principal(kind=PrincipalKind.PERSON, namespace="default", name=who, proof=proof)


@pytest.fixture
def issued(there: Stepping, tmp_path: Path) -> Iterator[Issued]:
    one = Issued(there, tmp_path)
    yield one
    one.tokens.close()


def test_a_token_lends_its_sign_in_to_its_own_person_alone_while_nobody_revokes_it(issued: Issued) -> None:
    one, adapters = issued.one, issued.one.world.adapters
    bobs = issued.principal("bob")
    assert signed_in_by(adapters, bobs, "carl") is None
    assert signed_in_by(adapters, None, "bob") is None
    assert signed_in_by(adapters, issued.principal("bob", at=0), "bob") is None
    signed = signed_in_by(adapters, bobs, "bob")
    assert isinstance(bobs.proof, TokenProof)
    weak = signed_in_by(adapters, issued.principal("bob", acr="pwd"), "bob")
    assert signed is not None
    assert weak is not None
    assert (signed.acr, signed.token) == ("mfa", bobs.proof.token)
    action = held(one)
    with pytest.raises(StepUpError):
        one.say_by(action, "bob", replace(weak, acr="mfa"))  # says something else than its token does
    assert one.say_by(action, "bob", signed)[0].state is APPROVED
    one.world.clock.advance(1800)  # the token is long over
    revoke_token(adapters, "default", signed.token, ANN, owns=True, why="stolen")
    assert held(one) != action
    assert one.approval(action).state is SUPERSEDED


def test_a_token_that_is_over_by_its_time_has_lent_its_sign_in(issued: Issued) -> None:
    one = issued.one
    signed = signed_in_by(one.world.adapters, issued.principal("bob"), "bob")
    action = held(one)
    one.say_by(action, "bob", signed)
    one.world.clock.advance(1800)
    assert code_of(one.world.ask(one.task)) == "permit"


def test_a_token_whose_key_was_revoked_lent_nothing(issued: Issued) -> None:
    one = issued.one
    signed = signed_in_by(one.world.adapters, issued.principal("bob"), "bob")
    assert signed is not None
    action = held(one)
    one.say_by(action, "bob", signed)
    with one.world.store.read() as snapshot:
        row = snapshot.tokens.token("default", signed.token)
    assert row is not None
    issued.tokens.keys.revoke(row.key, ANN, why="leaked")
    assert held(one) != action
