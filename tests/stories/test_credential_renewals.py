"""A credential lives longer by a decision of its own, and never longer than its task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.audit import parse_record
from taskbound.core.audit.events.work import CredentialProlonged
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import Credential, CredentialState, RenewalState, Step
from taskbound.core.task import TaskEvent
from taskbound.flows.action import Report, Withhold, explain
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.credential.handing import acknowledge_credential, renewal_report_of
from taskbound.flows.credential.revoking import end_one_due, settle_unknown
from tests.peers.planning import Planner
from tests.peers.targeting import ALICE, MAY_MINT, READER, WRITER, Targets, held_by_finance
from tests.sqlite import sqlite_store
from tests.stories.brokering import Broker, moves, row_of
from tests.stories.minting import Letters, forge
from tests.world import ANN, World, code_of, codes_of, id_of

if TYPE_CHECKING:
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store

RENEWABLE = replace(READER, renewable=True)
READER_TOOL = "orders-db__credential/reader"


class Renewing(Targets):
    """A task whose readers can be renewed, and a broker that a story plays."""

    def __init__(self, world: World, **more: Any) -> None:
        super().__init__(world, kinds=(RENEWABLE, WRITER), **more)
        self.broker = Broker(world=world)

    def have(self, **more: Any) -> Credential:
        """One that somebody has."""
        action = id_of(self.ask(**{"connection": "con_a"} | more))
        row = next(one for one in self.rows() if one.action == action)
        return self.had(row, more.get("connection", "con_a"))

    def had(self, row: Credential, connection: str = "con_a") -> Credential:
        self.broker.waited = {row.id}
        self.broker.mint(row)
        return acknowledge_credential(self.world.adapters, "default", row.id, connection)

    def renew(self, row: Credential | str, arguments: dict[str, Any] | None = None, **more: Any) -> Answer:
        renews = row if isinstance(row, str) else row.id
        asked = {"customer": "42"} if arguments is None else arguments
        plain = {"recipient": "", "connection": "con_a"}
        return self.ask(arguments={**asked, "renews": renews}, **plain | more)

    def told(self, row: Credential) -> Credential:
        """The broker tells the target, and the daemon."""
        return self.broker.take(row, Step.RENEW).renewed()

    def row(self, row: Credential) -> Credential:
        return row_of(self.world, row)

    def settle(self, row: Credential, connection: str = "con_a") -> None:
        """What came of the last renewal is recorded, as the daemon does."""
        found = self.row(row)
        assert found.renewal is not None
        report = renewal_report_of(found, found.renewal.action, connection)
        assert report is not None
        self.world.outcomes.record([report])

    def forge(self, row: Credential, **changes: Any) -> Credential:
        """The row as somebody writes it who has the store."""
        return forge(self.world.store, self.row(row), **changes)


@pytest.fixture
def there(store: Store) -> Renewing:
    world = World(store=store, chance=Letters())
    world.settle_in()
    return Renewing(world)


@pytest.fixture
def here() -> Renewing:
    """On SQLite only: what is asked is no matter of the engine."""
    world = World(store=sqlite_store(), chance=Letters())
    world.settle_in()
    return Renewing(world)


def after(row: Credential, much: float) -> Instant:
    return Instant(row.made + round(much * seconds(1)))


# --- a decision ------------------------------------------------------------------------------


def test_i09_a_renewal_is_a_decision_and_moves_the_end_once_the_target_was_told(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(100)
    now = there.world.clock.now()
    answer = there.renew(row)
    assert code_of(answer) == "permit"
    asked = there.row(row)
    assert len(there.rows()) == 1
    assert (asked.state, asked.ends, asked.due) == (CredentialState.ACTIVE, row.ends, asked.due)
    assert asked.renewal is not None
    assert (asked.renewal.action, asked.renewal.state) == (id_of(answer), RenewalState.WANTED)
    assert now + seconds(600) <= asked.renewal.ends <= now + seconds(601)
    with there.world.store.read() as snapshot:
        placed = snapshot.audit.numbered(asked.renewal.record)
        assert placed is not None
        event = parse_record(placed.body).event
        assert isinstance(event, CredentialProlonged)
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
    assert (event.credential, event.action) == (row.id, id_of(answer))
    assert (event.before, event.ends) == (row.ends, asked.renewal.ends)
    done = there.told(row)
    assert (done.ends, done.due) == (asked.renewal.ends, asked.renewal.ends)
    assert moves(there.world)[-1] == ("active", "renew", "active")
    assert explain(there.world.adapters, "default", id_of(answer)).replay == "same"


def test_i09_no_chain_of_renewals_passes_the_deadline_of_the_task(there: Renewing) -> None:
    row = there.have()
    deadline = there.world.task(there.task).deadline
    for _ in range(20):
        there.world.clock.advance(300)
        if code_of(there.renew(row)) != "permit":
            break
        row = there.told(row)
        there.settle(row)
        assert row.ends <= deadline
    assert row.ends == deadline
    assert code_of(there.renew(row)) in {"renewal-not-later", "bad-credential-life", "task-expired"}
    there.world.clock.advance(600)
    over = end_one_due(there.world.adapters, "default", row.id)
    assert over is not None
    assert over.state is CredentialState.REVOKING


def test_i09_the_deadline_of_a_task_above_bounds_it_too(here: Renewing) -> None:
    row = here.have()
    child = here.world.child(here.world.task(here.task), scope=MAY_MINT)
    later = replace(child, deadline=Instant(child.deadline + seconds(3600)), version=2)
    here.world.store.write(lambda tx: tx.tasks.put_task(later, expect=1))
    here.world.views.forget()
    here.world.clock.advance(3590 - 500)
    theirs = here.have(task=child)
    assert theirs.ends == here.world.task(here.task).deadline
    here.world.clock.advance(100)
    assert code_of(here.renew(theirs, task=child)) == "renewal-not-later"
    assert code_of(here.renew(row)) == "not-renewable"  # its time was over long before


def test_a_renewal_takes_no_recipient_and_one_without_is_no_way_to_a_new_one(here: Renewing) -> None:
    row = here.have()
    here.world.clock.advance(1)
    assert code_of(here.renew(row, recipient=ALICE)) == "unwanted-recipient"
    assert code_of(here.ask(recipient="")) == "no-recipient"
    assert code_of(here.ask("writer", {"renews": row.id}, recipient="")) == "no-recipient"
    assert here.row(row).renewal is None


def test_a_kind_that_is_not_declared_renewable_knows_nothing_of_it(here: Renewing) -> None:
    assert code_of(here.ask("writer", {"renews": "crd_" + "a" * 35})) == "bad-credential-parameter"


def test_a_scope_that_does_not_name_it_covers_no_renewal(store: Store) -> None:
    world = World(store=store, chance=Letters())
    world.settle_in()
    scope = {"grants": [{"tool": READER_TOOL, "arguments": {"customer": {"equals": "42"}}, "uses": 2}]}
    there = Renewing(world, scope=scope)
    row = there.have()
    world.clock.advance(1)
    assert code_of(there.renew(row)) == "outside-scope"
    assert there.row(row).renewal is None


def test_uses_and_limits_are_paid_by_renewals_too(here: Renewing) -> None:
    scope = {"grants": [{"tool": READER_TOOL, "others": "any", "uses": 2}]}
    task = here.world.start(scope=scope, agent="minter")
    row = here.have(task=task)
    here.world.clock.advance(1)
    assert code_of(here.renew(row, task=task)) == "permit"
    row = here.told(row)
    here.settle(row)
    here.world.clock.advance(1)
    assert code_of(here.renew(row, task=task)) == "exhausted"


# --- which -----------------------------------------------------------------------------------


def test_nothing_of_another_task_another_kind_or_nobody_is_renewed_and_one_answer_says_so(
    here: Renewing,
) -> None:
    other = here.world.start(scope=MAY_MINT, agent="minter")
    theirs = here.have(task=other, connection="con_b")
    here.world.clock.advance(1)
    unknown = "crd_" + "q" * 35
    answers = [here.renew(theirs), here.renew(unknown)]
    assert codes_of(answers) == ["not-renewable"] * 2
    texts = [str(one).replace(theirs.id, "X").replace(unknown, "X") for one in map(reasons, answers)]
    assert texts[0] == texts[1]
    assert here.row(theirs).renewal is None


def test_a_canary_and_what_a_sweep_found_are_nobodys_to_renew(here: Renewing) -> None:
    row = here.have()
    here.world.clock.advance(1)
    for changes in ({"action": ""}, {"task": "", "agent": ""}, {"agent": "coder"}):
        forged = here.forge(row, **changes)
        assert code_of(here.renew(row)) == "not-renewable", changes
        row = here.forge(forged, action=row.action, task=row.task, agent=row.agent)
    for changes in ({"identity": "8" * 64}, {"kind": "writer"}, {"target": "others-db"}):
        kept = {name: getattr(row, name) for name in changes}
        forged = here.forge(row, **changes)
        assert code_of(here.renew(row)) == "not-renewable", changes
        row = here.forge(forged, **kept)
    assert code_of(here.renew(row)) == "permit"


def test_the_context_is_not_changed_by_a_renewal(here: Renewing) -> None:
    row = here.have()
    here.world.clock.advance(1)
    assert code_of(here.renew(row, {"customer": "43"})) == "not-renewable"
    assert code_of(here.renew(row, {})) == "bad-credential-parameter"
    assert code_of(here.renew(row, {"customer": "42", "seconds": 601})) == "bad-credential-life"
    assert code_of(here.renew(row, {"customer": "42", "seconds": 60})) == "renewal-not-later"
    assert code_of(here.renew("x" * 39)) == "not-renewable"
    assert code_of(here.renew("crd_")) == "bad-credential-parameter"
    refused = id_of(here.renew(row, {"customer": "43"}))
    assert explain(here.world.adapters, "default", refused).replay.startswith("not computed")


@pytest.mark.parametrize(
    "state", [one for one in CredentialState if one is not CredentialState.ACTIVE], ids=lambda one: one.value
)
def test_i12_only_what_is_active_is_renewed(here: Renewing, state: CredentialState) -> None:
    row = here.forge(here.have(), state=state)
    here.world.clock.advance(1)
    assert code_of(here.renew(row)) == "not-renewable"


def test_i12_what_nobody_acknowledged_and_what_is_over_without_its_end_written_is_not_renewed(
    here: Renewing,
) -> None:
    id_of(here.ask(connection="con_a"))
    (row,) = here.rows()
    here.broker.waited = {row.id}
    here.broker.mint(row)
    here.world.clock.advance(1)
    assert code_of(here.renew(row)) == "not-renewable"
    acknowledge_credential(here.world.adapters, "default", row.id, "con_a")
    here.world.clock.advance(600)
    assert code_of(here.renew(row)) == "not-renewable"


def reasons(answer: Answer) -> object:
    return getattr(getattr(answer, "decision", answer), "reasons", answer)


# --- once ------------------------------------------------------------------------------------


def test_law_7_the_same_presentation_renews_once(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    first = there.renew(row, request="7", key="once")
    again = there.renew(row, request="7", key="once")
    done = there.told(row)
    there.world.clock.advance(50)
    late = there.renew(row, request="8", key="once", connection="con_b")
    assert codes_of([first, again, late]) == ["permit", "duplicate", "duplicate"]
    assert {id_of(one) for one in (first, again, late)} == {id_of(first)}
    assert there.row(row) == done
    assert len(there.world.events("credential-prolonged")) == 1


def test_of_two_renewals_of_a_group_one_is_permitted(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    asked = {"customer": "42", "renews": row.id}
    calls = [
        there.world.call(
            there.task, READER_TOOL, asked | {"seconds": 600 - one}, agent="minter", connection=f"con_{one}"
        )
        for one in (0, 1)
    ]
    calls[1] = replace(calls[1], arguments=calls[0].arguments)
    there.world.clock.advance(100)
    assert codes_of(there.world.decide(calls)) == ["permit", "renewal-under-way"]
    assert len(there.world.events("credential-prolonged")) == 1


def test_another_renewal_waits_for_what_came_of_the_one_before(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    there.renew(row)
    there.world.clock.advance(1)
    assert code_of(there.renew(row, request="again 2")) == "renewal-under-way"
    row = there.told(row)
    assert code_of(there.renew(row, request="again 3")) == "renewal-under-way"  # nobody recorded it yet
    there.settle(row)
    there.world.clock.advance(1)
    assert code_of(there.renew(row, request="again 4")) == "permit"


def test_law_7_a_renewal_whose_holder_was_lost_is_known_by_its_row(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    action = id_of(there.renew(row, connection="con_b"))
    row = there.told(row)
    there.world.outcomes.lose("default", connection="con_b", reason="gone")
    assert code_of(there.renew(row, request="again 2")) == "renewal-under-way"
    assert settle_unknown(there.world.adapters, "default") == (action,)
    with there.world.store.read() as snapshot:
        kept = snapshot.actions.action("default", action)
    assert kept is not None
    assert kept.state.value == "reconciled-succeeded"
    assert "its end was extended in its target" in kept.note
    there.world.clock.advance(1)
    assert code_of(there.renew(row, request="again 3")) == "permit"


def test_law_7_nobody_says_of_a_renewal_that_it_was_not_sent(here: Renewing) -> None:
    row = here.have()
    here.world.clock.advance(1)
    action = id_of(here.renew(row))
    report = Report(namespace="default", connection="con_a", action=action, outcome="not-sent")
    (answer,) = here.world.outcomes.record([report])
    assert isinstance(answer, Withhold)
    assert answer.code == "credential-was-written"
    here.told(row)
    (answer,) = here.world.outcomes.record([report])
    assert isinstance(answer, Withhold)


# --- what comes between ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["pause", "end"])
def test_i12_what_ends_it_goes_before_a_renewal_that_is_under_way(there: Renewing, how: str) -> None:
    row = there.have()
    there.world.clock.advance(1)
    action = id_of(there.renew(row))
    telling = there.broker.take(row, Step.RENEW)
    if how == "pause":
        there.world.tasks.pause("default", there.task.id, ANN, reason="")
    else:
        there.world.tasks.end("default", there.task.id, TaskEvent.REVOKE, ANN, reason="")
    with pytest.raises(Exception, match="no more"):
        telling.renewed()
    over = there.row(row)
    assert (over.state, over.ends) == (CredentialState.REVOKING, row.ends)
    assert over.renewal is not None
    assert over.renewal.state is RenewalState.FAILED
    report = renewal_report_of(over, action, "con_a")
    assert report is not None
    assert report.outcome == "failed"
    assert there.broker.revoke(over).state is CredentialState.REVOKED


def test_a_target_that_does_not_let_it_live_longer_leaves_it_its_old_end(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    there.renew(row)
    telling = there.broker.take(row, Step.RENEW)
    kept = telling.failed("renewal-unsupported", "its end can't be moved", lasting=True)
    assert (kept.state, kept.ends, kept.due) == (CredentialState.ACTIVE, row.ends, row.ends)
    assert kept.trouble == "its end can't be moved [renewal-unsupported]"
    assert moves(there.world)[-1] == ("active", "keep", "active")


def test_what_can_not_be_told_now_is_told_again(there: Renewing) -> None:
    row = there.have()
    there.world.clock.advance(1)
    there.renew(row)
    before = len(there.world.records())
    there.broker.take(row, Step.RENEW).failed("target-unavailable", "it hangs")
    assert len(there.world.records()) == before
    assert there.broker.lease(row) == ()
    there.world.clock.advance(0.5)
    done = there.told(row)
    assert done.ends > row.ends
    assert done.trouble == ""


# --- people ----------------------------------------------------------------------------------


class Asked(Planner):
    """Readers wait for people of finance."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, held_by_finance(base_bundle()), chance=Letters())
        self.here = Renewing(self.world)

    def have(self) -> Credential:
        """One that people lifted."""
        self.say(id_of(self.here.ask(connection="con_a")), "bob")
        self.here.ask(connection="con_a")
        return self.here.had(self.here.rows()[0])


def test_i09_a_held_renewal_is_judged_when_it_is_lifted_and_ends_nothing_meanwhile(store: Store) -> None:
    asked = Asked(store)
    here = asked.here
    row = asked.have()
    here.world.clock.advance(100)
    waits = here.renew(row)
    assert code_of(waits) == "hold"
    assert here.row(row).renewal is None
    asked.say(id_of(waits), "bob")
    here.world.clock.advance(100)
    now = here.world.clock.now()
    lifted = here.renew(row)
    assert (code_of(lifted), id_of(lifted)) == ("permit", id_of(waits))
    renewal = here.row(row).renewal
    assert renewal is not None
    assert renewal.ends >= now + seconds(600)
    here.told(row)


def test_i12_a_renewal_that_people_lifted_too_late_is_refused(store: Store) -> None:
    asked = Asked(store)
    here = asked.here
    row = asked.have()
    here.world.clock.advance(100)
    waits = here.renew(row)
    asked.say(id_of(waits), "bob")
    here.world.clock.advance(500)
    assert code_of(here.renew(row)) == "not-renewable"
    assert here.row(row).renewal is None
