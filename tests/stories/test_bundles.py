from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.decision import Allowance
from taskbound.core.identity import PersonState
from taskbound.core.policy import (
    ActiveBundle,
    AuthorActivatesError,
    BadBundleError,
    DamagedBundleError,
    NotInForceBeforeError,
    PolicyBundle,
    UnknownBundleError,
)
from taskbound.core.task import TaskEvent
from taskbound.flows.action.explain import explain
from taskbound.flows.decision import Refusals
from taskbound.flows.identity import Groups, register_person
from taskbound.flows.means import Actor
from taskbound.flows.policy import Policies, Refused, examine, examine_kept, replay
from taskbound.flows.policy.engines import BadReplayError
from taskbound.flows.policy.life import AlreadyInForceError, BadNoteError, OtherBaseError
from taskbound.ports.policy import BundleActivation, StoredBundle
from tests.peers.holding import Holding
from tests.sqlite import edit, sqlite_store
from tests.world import ANN, World, code_of, codes_of, id_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.policy import PolicyEngine
    from taskbound.ports.store import Store

BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")
NEVER = '@id("never") forbid (principal, action == Taskbound::Action::"bank__pay", resource);'
LARGE = """
@id("large") @hold("approval:finance")
forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.arguments.amount.greaterThan(decimal("20.0")) };
"""
PAID = {"to": "bob", "amount": 10}

CALL = 'action in Taskbound::Action::"call"'


@pytest.fixture
def task(world: World) -> Task:
    return world.settle_in()


def add_finance(world: World) -> None:
    """The group that `LARGE` asks."""
    with world.store.read() as snapshot:
        there = snapshot.identities.groups("default")
    if not there:
        Groups(world.adapters).add("default", "finance", ANN, owns=True)


def propose(world: World, text: str = NEVER, *, actor: Actor = ANN, note: str = "") -> str:
    add_finance(world)
    seen = examine(world.adapters, "default", {"own.cedar": text}, {})
    kept = world.bundles.propose("default", seen, note, actor)
    assert isinstance(kept, StoredBundle)
    return kept.digest


def activate(world: World, digest: str, *, actor: Actor = ANN) -> BundleActivation:
    done = world.bundles.activate("default", examine_kept(world.adapters, "default", digest), actor)
    assert isinstance(done, BundleActivation)
    return done


def put_in_force(world: World, text: str = NEVER) -> str:
    digest = propose(world, text)
    activate(world, digest)
    return digest


def engine_of(world: World, digest: str) -> PolicyEngine:
    with world.store.read() as snapshot:
        return world.adapters.policy.engine(snapshot, "default", digest)


def in_force(world: World) -> ActiveBundle:
    with world.store.read() as snapshot:
        return snapshot.policy.in_force("default")


def add_bob(world: World) -> None:
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)


def damage(world: World, digest: str, *, namespace: str = "default", **changes: Any) -> None:
    """Edit a stored bundle as an attacker does who can write to the database."""
    named = ", ".join(f"{name} = ?" for name in changes)
    change = f"UPDATE bundles SET {named} WHERE namespace = ? AND digest = ?"  # noqa: S608 -- names of ours
    edit(world.store, change, *changes.values(), namespace, digest)


def edit_force(world: World, force: ActiveBundle) -> None:
    statement = "INSERT OR REPLACE INTO bundles_in_force (namespace, epoch, digest) VALUES ('default', ?, ?)"
    edit(world.store, statement, force.epoch, force.digest)


def test_a_bundle_holds_from_its_activation_on_and_decisions_name_it(world: World, task: Task) -> None:
    base = world.adapters.policy.base.bundle
    first = world.ask(task)
    digest = propose(world)
    between = world.ask(task)
    activate(world, digest)
    after = world.ask(task)
    assert [code_of(one) for one in (first, between, after)] == ["permit", "permit", "forbidden"]
    assert [one["bundle"] for one in world.events("action-decided")] == [base, base, digest]
    assert "never" in str(after)


def test_each_step_of_a_bundle_is_recorded_in_its_transaction(world: World, task: Task) -> None:
    del task
    digest = propose(world, note="because")
    activate(world, digest)
    world.bundles.roll_back("default", None, "it was wrong", ANN)
    proof = ANN.proof
    kinds = ("policy-proposed", "policy-activated", "policy-rolled-back")
    assert [world.events(kind) for kind in kinds] == [
        [
            {"kind": kinds[0], "bundle": digest, "files": ["own.cedar"], "note": "because", "by": "ann",
             "proof": proof}
        ],
        [
            {"kind": kinds[1], "bundle": digest, "before": "", "epoch": 1, "author": "ann", "by": "ann",
             "proof": proof, "alone": True}
        ],
        [
            {"kind": kinds[2], "bundle": "", "before": digest, "epoch": 2, "by": "ann", "proof": proof,
             "reason": "it was wrong"}
        ],
    ]  # fmt: skip  # events read better whole


def test_a_bundle_that_does_not_fit_the_pinned_tools_is_refused_whole_while_the_old_one_serves(
    world: World, task: Task
) -> None:
    digest = put_in_force(world)
    wrong = LARGE.replace("amount", "amuont") + LARGE.replace("large", "other").replace(
        "bank__pay", "bank__pya"
    )
    seen = examine(world.adapters, "default", {"own.cedar": wrong}, {})
    refused = world.bundles.propose("default", seen, "", ANN)
    assert isinstance(refused, Refused)
    assert [one.policy for one in refused.problems] == ["large", "other"]
    assert all(one.line > 1 for one in refused.problems)
    (event,) = world.events("policy-refused")
    assert (event["bundle"], event["problems"], event["by"]) == (refused.digest, 2, "ann")
    with pytest.raises(UnknownBundleError):
        examine_kept(world.adapters, "default", refused.digest)
    assert code_of(world.ask(task)) == "forbidden"
    assert in_force(world).digest == digest


def test_a_bundle_whose_tool_was_taken_away_meanwhile_is_not_put_in_force(world: World, task: Task) -> None:
    digest = propose(world)
    world.pins.remove("default", "bank", ANN)
    world.add_bank({"name": "other", "inputSchema": {"type": "object"}})
    seen = examine_kept(world.adapters, "default", digest)
    assert isinstance(world.bundles.activate("default", seen, ANN), Refused)
    assert in_force(world) == ActiveBundle()
    del task


def test_where_there_are_two_persons_another_one_than_the_author_puts_a_bundle_in_force(
    world: World, task: Task
) -> None:
    add_bob(world)
    digest = propose(world)
    with pytest.raises(AuthorActivatesError):
        activate(world, digest)
    assert propose(world, actor=BOB) == digest  # whoever proposes the same again becomes no author
    with pytest.raises(AuthorActivatesError):
        activate(world, digest)
    assert code_of(world.ask(task)) == "permit"
    activate(world, digest, actor=BOB)
    (event,) = world.events("policy-activated")
    assert (event["author"], event["by"], event.get("alone", False)) == ("ann", "bob", False)
    assert code_of(world.ask(task)) == "forbidden"


def test_an_author_who_is_the_only_person_left_may_put_it_in_force_and_the_record_says_so(
    world: World, task: Task
) -> None:
    del task
    add_bob(world)
    digest = propose(world)
    with world.store.read() as snapshot:
        bob = snapshot.identities.person("default", "bob")
    assert bob is not None
    gone = replace(bob, state=PersonState.GONE, version=bob.version + 1)
    world.store.write(lambda tx: tx.identities.put_person(gone, expect=bob.version))
    activate(world, digest)
    assert world.events("policy-activated")[0]["alone"]


def test_a_rollback_goes_to_the_one_before_or_to_a_named_one_that_was_in_force(
    world: World, task: Task
) -> None:
    first = put_in_force(world)
    second = put_in_force(world, LARGE)
    assert code_of(world.ask(task)) == "permit"
    assert world.bundles.roll_back("default", None, "", ANN).force == ActiveBundle(epoch=3, digest=first)
    assert code_of(world.ask(task)) == "forbidden"
    assert world.bundles.roll_back("default", "", "", ANN).force == ActiveBundle(epoch=4)
    assert code_of(world.ask(task)) == "permit"
    assert world.bundles.roll_back("default", second, "", ANN).force.digest == second
    with pytest.raises(AlreadyInForceError):
        world.bundles.roll_back("default", second, "", ANN)


def test_nothing_that_was_never_in_force_is_gone_back_to(world: World, task: Task) -> None:
    del task
    with pytest.raises(NotInForceBeforeError):
        world.bundles.roll_back("default", None, "", ANN)
    digest = propose(world)
    put_in_force(world, LARGE)
    with pytest.raises(NotInForceBeforeError):
        world.bundles.roll_back("default", digest, "", ANN)
    with pytest.raises(AlreadyInForceError):
        activate(world, in_force(world).digest)


def test_a_bundle_that_was_activated_between_evaluation_and_commit_decides_the_call(
    world: World, task: Task
) -> None:
    digest = propose(world)
    seen = examine_kept(world.adapters, "default", digest)
    world.meanwhile(lambda: world.beside().bundles.activate("default", seen, ANN))
    answer = world.ask(task)
    assert code_of(answer) == "forbidden"
    assert [one["bundle"] for one in world.events("action-decided")] == [digest]


def test_another_daemon_never_permits_under_the_old_bundle_after_an_activation(
    world: World, task: Task
) -> None:
    other = world.beside()
    assert code_of(other.ask(task)) == "permit"
    put_in_force(world)
    assert code_of(other.ask(task)) == "forbidden"
    world.bundles.roll_back("default", None, "", ANN)
    assert code_of(other.ask(task)) == "permit"


def test_a_bundle_of_one_namespace_holds_in_no_other(world: World, task: Task) -> None:
    seen = examine(
        world.adapters, "other", {"own.cedar": '@id("no") forbid (principal, action, resource);'}, {}
    )
    kept = world.bundles.propose("other", seen, "", ANN)
    assert isinstance(kept, StoredBundle)
    world.bundles.activate("other", examine_kept(world.adapters, "other", kept.digest), ANN)
    assert code_of(world.ask(task)) == "permit"
    with pytest.raises(UnknownBundleError):
        examine_kept(world.adapters, "default", kept.digest)


@pytest.mark.parametrize(
    "changes",
    [{"archive": b"{}"}, {"author": "eve"}, {"record": 1}, {"record": 10_000}],
    ids=["bytes", "author", "another record", "no record"],
)
def test_a_damaged_bundle_refuses_by_name_at_a_start_and_nothing_else_serves(changes: dict[str, Any]) -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    first = put_in_force(world, LARGE)
    digest = put_in_force(world)
    damage(world, digest, **changes)
    again = world.beside()
    assert code_of(again.ask(task)) == "damaged-bundle"
    assert again.bundles.rebase("test")
    assert code_of(again.ask(task)) == "damaged-bundle"
    with pytest.raises(DamagedBundleError):
        examine_kept(again.adapters, "default", digest)
    assert again.bundles.roll_back("default", None, "damaged", ANN).force.digest == first
    assert code_of(again.ask(task)) == "permit"
    again.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="")


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_what_is_in_force_by_an_edited_row_refuses_by_name(epoch: int) -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    digest = put_in_force(world)
    edit_force(world, ActiveBundle(epoch=epoch, digest="" if epoch < 2 else digest))
    again = world.beside()
    assert code_of(again.ask(task)) == "damaged-bundle"
    with pytest.raises(DamagedBundleError):
        again.adapters.policy.at("default", in_force(again))
    again.bundles.roll_back("default", digest, "the row was changed", ANN)
    assert code_of(again.ask(task)) == "forbidden"


def test_what_is_proposed_is_looked_at_before_anything_else(world: World, task: Task) -> None:
    del task
    for files in ({}, {"A.cedar": NEVER}, {"base.cedar": NEVER}, {"p\u0430y.cedar": NEVER}):
        with pytest.raises(BadBundleError):
            examine(world.adapters, "default", files, {})
    with pytest.raises(BadBundleError):
        examine(world.adapters, "default", {"own.cedar": NEVER}, {"x.yaml": ""})
    with pytest.raises(BadBundleError):
        examine(world.adapters, "default", {"own.cedar": "\n" * 2_000_000}, {})
    for text in (NEVER.replace("never", "base:never"), NEVER + NEVER, "permit", "forbid (" * 5_000):
        seen = examine(world.adapters, "default", {"own.cedar": text}, {})
        assert isinstance(world.bundles.propose("default", seen, "", ANN), Refused)
    seen = examine(world.adapters, "default", {"own.cedar": NEVER}, {})
    with pytest.raises(BadNoteError):
        world.bundles.propose("default", seen, "x" * 501, ANN)


def of_finance(store: Store) -> Holding:
    """A world with people who can answer; what ann proposes bob puts in force."""
    return Holding(store, base_bundle())


def rule(there: Holding, text: str) -> str:
    digest = propose(there.world, text)
    activate(there.world, digest, actor=BOB)
    return digest


def test_an_action_replays_under_the_bundle_that_it_was_decided_under(store: Store) -> None:
    there = of_finance(store)
    world, task = there.world, there.task
    under_base = id_of(world.ask(task))
    rule(there, LARGE)
    held = id_of(world.ask(task, arguments={"to": "bob", "amount": 30}))
    rule(there, NEVER)
    refused = id_of(world.ask(task))
    world.bundles.roll_back("default", "", "", ANN)
    for action in (under_base, held, refused):
        assert explain(world.adapters, "default", action).replay == "same"
    found = explain(world.adapters, "default", held)
    assert any("amount" in one and "permit" in one for one in found.turns)


def test_an_approval_that_was_given_under_another_bundle_permits_nothing(store: Store) -> None:
    there = of_finance(store)
    call: dict[str, Any] = {"arguments": {"to": "bob", "amount": 30}}
    first = rule(there, LARGE)
    action = id_of(there.world.ask(there.task, **call))
    there.say(action, "carl")
    assert there.state(action) == ("held", "approved")
    rule(there, LARGE.replace("20.0", "25.0"))
    again = there.world.ask(there.task, **call, resume=action)
    assert (code_of(again), id_of(again) == action) == ("hold", False)
    assert there.state(action) == ("withdrawn", "superseded")
    second = id_of(again)
    there.say(second, "carl")
    rule(there, NEVER)
    assert code_of(there.world.ask(there.task, **call, resume=second)) == "forbidden"
    assert there.state(second)[0] != "permitted"
    there.world.bundles.roll_back("default", first, "", ANN)
    answer = there.world.ask(there.task, **call, resume=second)
    assert code_of(answer) == "hold"
    assert id_of(answer) not in {action, second}
    assert there.world.events("action-decided")[-1]["bundle"] == first


def test_an_approval_under_the_old_bundle_is_not_used_by_another_daemon(store: Store) -> None:
    there = of_finance(store)
    rule(there, LARGE)
    action = id_of(there.world.ask(there.task, arguments={"to": "bob", "amount": 30}))
    there.say(action, "carl")
    other = there.world.beside()
    seen = examine_kept(there.world.adapters, "default", propose(there.world))
    other.ask(there.task, "bank__look", {"path": "/srv/a"})
    other.meanwhile(lambda: there.world.bundles.activate("default", seen, BOB))
    assert code_of(other.ask(there.task, arguments={"to": "bob", "amount": 30}, resume=action)) == "forbidden"
    assert there.state(action)[0] != "permitted"
    assert not [one for one in there.world.events("action-decided") if one["decision"] == "permit"][1:]


def test_replaying_counts_what_differs_what_policy_did_not_decide_and_what_can_not_be_asked(
    world: World, task: Task
) -> None:
    small, large = world.ask(task), world.ask(task, arguments={"to": "bob", "amount": 30})
    world.ask(task, arguments={"to": "mallory", "amount": 1})
    world.ask(None)
    look = world.ask(task, "bank__look", {"path": "/srv/a"})
    digest = propose(world, LARGE)
    engine = engine_of(world, digest)
    found = replay(world.adapters, "default", engine, 100)
    (one,) = found.differences
    assert (one.action, one.was) == (id_of(large), "permit")
    assert one.would.startswith("hold, lifted by approval:finance")
    assert "covered true" in one.facts
    assert (found.asked, found.same, found.beside, found.not_asked) == (5, 2, 2, ())
    assert id_of(small) != id_of(look)
    assert replay(world.adapters, "default", engine, 1).asked == 1
    old = NEVER.replace(";", " when { context.task.age > 9 };")
    aged = engine_of(world, propose(world, old))
    assert replay(world.adapters, "default", aged, 9).not_asked == (
        ("the bundle reads what was not recorded: task.age", 2),
    )
    for last in (0, 10_001):
        with pytest.raises(BadReplayError):
            replay(world.adapters, "default", engine, last)


def test_replaying_tells_facts_that_can_not_have_changed_and_no_others(world: World, task: Task) -> None:
    world.ask(task)
    text = (
        f'@id("mine") forbid (principal, {CALL}, resource)'
        " when { context.task.requester == principal.owner };"
    )
    purpose = (
        f'@id("why") forbid (principal, {CALL}, resource) when {{ context.task.purpose == "pay bills" }};'
    )
    owner, why = engine_of(world, propose(world, text)), engine_of(world, propose(world, purpose))
    assert replay(world.adapters, "default", owner, 9).not_asked == (
        ("the bundle reads what was not recorded: agent.owner", 1),
    )
    assert len(replay(world.adapters, "default", why, 9).differences) == 1


def with_base(store: Store, world: World, base: str) -> World:
    """A daemon of another version over the same store."""
    return World(store=store, policy=base, clock=world.clock, chance=world.chance)


def test_the_base_of_a_newer_version_takes_its_place_in_what_is_in_force(world: World, store: Store) -> None:
    task = world.settle_in()
    waiting = propose(world, LARGE)
    digest = put_in_force(world)
    stricter = (
        world.policy
        + '@id("base:look") forbid (principal, action == Taskbound::Action::"bank__look", resource);'
    )
    newer = with_base(store, world, stricter)
    assert newer.bundles.rebase("taskbound 9") == ()
    assert code_of(newer.ask(task, "bank__look", {"path": "/srv/a"})) == "forbidden"
    assert code_of(newer.ask(task)) == "forbidden"
    (event,) = newer.events("policy-rebased")
    assert (event["before"], event["author"], event["software"]) == (digest, "ann", "taskbound 9")
    assert newer.bundles.rebase("taskbound 9") == ()
    assert len(newer.events("policy-rebased")) == 1
    with pytest.raises(OtherBaseError):
        examine_kept(newer.adapters, "default", waiting)
    with pytest.raises(AlreadyInForceError):
        newer.bundles.roll_back("default", digest, "", ANN)


def test_a_bundle_that_the_base_of_a_newer_version_does_not_suit_goes_on_as_it_is(
    world: World, store: Store
) -> None:
    task = world.settle_in()
    digest = put_in_force(world)
    newer = with_base(store, world, world.policy + NEVER)
    ((namespace, why),) = newer.bundles.rebase("taskbound 9")
    assert namespace == "default"
    assert "never" in why
    assert in_force(newer).digest == digest
    assert code_of(newer.ask(task)) == "forbidden"


def test_the_engine_of_what_was_found_whole_is_not_made_again(world: World, task: Task) -> None:
    del task
    digest = put_in_force(world)
    policies = world.adapters.policy
    assert isinstance(policies, Policies)
    engine = policies.at("default", ActiveBundle(epoch=1, digest=digest))
    assert policies.at("default", ActiveBundle(epoch=1, digest=digest)) is engine
    assert engine.bundle == digest
    assert PolicyBundle(files={"base.cedar": ""}).own == {}


def test_each_call_that_a_damaged_bundle_refuses_leaves_one_record_and_takes_a_token() -> None:
    world = World(store=sqlite_store())
    task = world.settle_in()
    damage(world, put_in_force(world), archive=b"{}")
    again = world.beside()
    before = len(again.records())
    refusals = Refusals(again.adapters, again.views, again.decisions, Allowance(burst=3, rate=1))
    calls = [again.call(task, arguments={"to": "bob", "amount": number}) for number in range(5)]
    codes = [codes_of(refusals.decide([one]))[0] for one in calls]
    assert codes == ["damaged-bundle"] * 3 + ["too-many-refusals"] * 2
    assert len(again.records()) == before + 3
    assert again.events("action-undecided") == [
        {
            "kind": "action-undecided",
            "code": "damaged-bundle",
            "connection": one.connection,
            "agent": "coder",
            "tool": "bank__pay",
            "task": task.id,
            "size": len(one.arguments),
            "digest": sha256(one.arguments).hexdigest(),
            "proof": one.proof,
        }
        for one in calls[:3]
    ]
    with again.store.read() as snapshot:
        assert [one.decision for one in snapshot.actions.actions("default")] == []
