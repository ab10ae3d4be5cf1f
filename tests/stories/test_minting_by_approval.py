"""What people signed is what is minted, and nothing else that they were asked about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.approval import AnswerKind, ApprovalState
from taskbound.core.credential import acknowledge, begin_renewal, show_credential
from taskbound.core.errors import TaskboundError
from taskbound.flows.credential.minting import NotMintableError
from taskbound.flows.identity.leaving import People
from taskbound.ports.approval import ApprovalChange
from tests.peers.holding import Answerers
from tests.peers.openssh import Device
from tests.peers.people import OWNER, enrolled
from tests.peers.targeting import ALICE, held_by_finance
from tests.sqlite import sqlite_store
from tests.stories.minting import ASKED, SPACE, Minting
from tests.stories.targeting import declared
from tests.stories.test_renewing import RENEWABLE
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Store, Transaction

TOOL = "orders-db__credential/reader"
MAY: dict[str, Any] = {"grants": [{"tool": TOOL, "others": "any"}]}


class Held(Answerers):
    """Credentials wait for bob of finance, who has a key that counts."""

    def __init__(self, store: Store, **file: Any) -> None:
        self.minting = Minting(store, policy=held_by_finance(base_bundle()))
        self.minting.ready(declared(**file))
        super().__init__(self.minting.world)
        self.minting.group("finance", "bob")
        device = Device()
        self.devices["bob"] = (enrolled(self.world, "bob", device, voucher=self.devices["ann"]), device)
        self.world.clock.advance(25 * 3600)
        self.world.add_agent("minter", ceiling=MAY)
        self.task = self.world.start(scope=MAY, agent="minter")
        self.minting.task = self.world.start()

    def ask(self, **more: Any) -> Any:
        return self.world.ask(self.task, TOOL, ASKED, agent="minter", recipient=ALICE, **more)

    def approved(self) -> Credential:
        """A credential that bob has approved, being minted."""
        answer = self.ask()
        assert code_of(answer) == "hold"
        raw = self.statement(id_of(answer), "bob")
        self.world.approvals.answer(SPACE, raw, self.devices["bob"][1].sign(raw))
        again = self.ask()
        assert (code_of(again), id_of(again)) == ("permit", id_of(answer))
        return self.minting.mint_begins(id_of(answer))

    def written(self, row: Credential, like: StoredApproval, **changes: Any) -> None:
        """A question about the row's action, as somebody writes it who has the store."""
        about = {"id": "apr_" + "z" * 26, "action": row.action, "task": row.task, "agent": row.agent}
        with self.world.store.read() as seen:
            action = seen.actions.action(SPACE, row.action)
        assert action is not None
        state = changes.pop("state", ApprovalState.CONSUMED)
        question = replace(like.question, **about | {"act": action.digest} | changes)

        def work(tx: Transaction) -> None:
            tx.approvals.insert_approvals([replace(like, question=question, state=state, answers=())])
            for one in like.answers:
                tx.approvals.put_answer(SPACE, question.id, one)

        self.world.store.write(work)

    def refused(self, row: Credential) -> str:
        with pytest.raises(TaskboundError) as found:
            self.minting.mintable(row)
        return found.value.code


@pytest.fixture
def there(store: Store) -> Held:
    return Held(store)


@pytest.fixture
def here() -> Held:
    return Held(sqlite_store())


def test_what_enough_people_signed_is_minted(there: Held) -> None:
    row = there.approved()
    assert there.minting.mintable(row).order.context == {"tenant": "red"}


def test_i09_a_renewal_that_people_lifted_rests_on_what_they_signed_for_it() -> None:
    here = Held(sqlite_store(), credentials=RENEWABLE)
    minting, row = here.minting, here.approved()
    minting.move(row.id, lambda one, now: show_credential(one, one.lease.fence, now))
    minting.move(row.id, acknowledge)
    here.world.clock.advance(100)
    asked = {**ASKED, "renews": row.id}
    held = here.world.ask(here.task, TOOL, asked, agent="minter")
    raw = here.statement(id_of(held), "bob")
    here.world.approvals.answer(SPACE, raw, here.devices["bob"][1].sign(raw))
    assert id_of(here.world.ask(here.task, TOOL, asked, agent="minter")) == id_of(held)
    minting.move(row.id, begin_renewal)
    assert minting.renewable(row).row.id == row.id
    People(here.world.adapters, here.world.views).leave(SPACE, "bob", OWNER, owns=True, reason="")
    with pytest.raises(NotMintableError, match="not enough"):
        minting.renewable(row)


def test_whose_word_counts_no_more_has_approved_nothing(here: Held) -> None:
    row = here.approved()
    People(here.world.adapters, here.world.views).leave(SPACE, "bob", OWNER, owns=True, reason="")
    assert here.refused(row) == "not-mintable"


def test_what_people_signed_about_one_action_mints_no_other(here: Held) -> None:
    signed = here.approval(here.approved().action)
    forged = here.minting.leased()
    here.written(forged, signed)
    assert here.refused(forged) == "not-mintable"


@pytest.mark.parametrize("state", [one for one in ApprovalState if one is not ApprovalState.CONSUMED])
def test_what_was_not_used_for_it_lifts_nothing_though_enough_people_signed(
    here: Held, state: ApprovalState
) -> None:
    row = here.approved()
    change = ApprovalChange(
        id=here.approval(row.action).question.id,
        before=ApprovalState.CONSUMED,
        after=state,
        finished=row.made,
        reason="",
    )
    here.world.store.write(lambda tx: tx.approvals.move_approvals(SPACE, [change]))
    assert here.refused(row) == "not-mintable"


@pytest.mark.parametrize(
    "change", [{"act": "2" * 64}, {"task": "tsk_b"}, {"agent": "x"}, {"tool": "x__y"}], ids=str
)
def test_a_question_about_something_else_lifts_nothing(here: Held, change: dict[str, Any]) -> None:
    signed = here.approval(here.approved().action)
    forged = here.minting.leased()
    here.written(forged, signed, **change)
    assert here.refused(forged) == "credential-altered"


def test_a_denial_beside_enough_approvals_is_a_denial(here: Held) -> None:
    row = here.approved()
    question = here.approval(row.action).question.id
    said = replace(here.approval(row.action).answers[0], kind=AnswerKind.DENY, person="carol")
    here.world.store.write(lambda tx: tx.approvals.put_answer(SPACE, question, said))
    assert here.refused(row) == "not-mintable"
