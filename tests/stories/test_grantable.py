from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.decision import Refuse, Settled
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import Breadth, NotOwnerError, PersonState, UnknownIdentityError
from taskbound.core.identity.agent import BadGrantableError, NotGiverError, OutsideGrantableError
from taskbound.core.task import TaskSyntaxError
from taskbound.flows.action.explain import explain
from taskbound.flows.identity import Groups, register_person, set_person_grantable
from taskbound.flows.identity.agent import CeilingLimitError
from taskbound.flows.identity.group import TooManyGroupsError
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.identity.person import IdentityExistsError
from taskbound.flows.means import Actor
from taskbound.flows.task import TaskOrder
from taskbound.flows.task.life import OutsideCeilingError
from taskbound.ports.action import StoredAction
from tests.world import ANN, CEILING, SCOPE, code_of, id_of, scope_of

if TYPE_CHECKING:
    from taskbound.core.identity import Grantable, Person
    from taskbound.core.task import Task
    from tests.world import World

BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")
EVE = Actor(name="eve", proof="peer-uid:1002 (unproven)")
FORTNIGHT = 14 * 24 * 3600
STEPS = {
    "steps": [
        {"name": "one", "grants": [{"tool": "bank__look"}]},
        {"name": "two", "grants": [{"tool": "bank__pay", "others": "any"}]},
    ]
}


def pays(most: float, *to: str, uses: int | None = None) -> dict[str, Any]:
    grant: dict[str, Any] = {
        "tool": "bank__pay",
        "arguments": {"to": {"one_of": list(to) or ["bob"]}, "amount": {"range": {"min": 0, "max": most}}},
    }
    return {"grants": [grant | ({} if uses is None else {"uses": uses})]}


def settle(world: World) -> Task:
    """Ann, who may grant anything, and bob and eve, of whom nothing is said."""
    task = world.settle_in()
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    register_person(world.adapters, "default", "eve", uid=1002, actor=ANN)
    return task


def say(
    world: World,
    name: str,
    grantable: dict[str, Any] | Grantable,
    *,
    actor: Actor = ANN,
    owns: bool = False,
) -> Person:
    said = scope_of(grantable) if isinstance(grantable, dict) else grantable
    return set_person_grantable(world.adapters, "default", name, said, actor=actor, owns=owns)


def start(world: World, scope: dict[str, Any], actor: Actor = BOB, **more: Any) -> Task:
    plain: dict[str, Any] = {"namespace": "default", "agent": "coder", "purpose": "pay", "seconds": 60}
    return world.tasks.start(TaskOrder(**plain | more, scope=scope_of(scope)), actor)


def payers(world: World, grantable: dict[str, Any], *members: str) -> Groups:
    groups = Groups(world.adapters)
    groups.add("default", "payers", ANN, owns=True)
    groups.set_grantable("default", "payers", scope_of(grantable), actor=ANN, owns=False)
    for one in members:
        groups.set_member("default", "payers", one, member=True, actor=ANN, owns=True)
    return groups


def refused(world: World, task: Task, arguments: dict[str, Any]) -> tuple[str, Refuse]:
    answer = world.ask(task, arguments=arguments)
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Refuse)
    return id_of(answer), answer.decision


def kept(world: World, action: str) -> StoredAction:
    with world.store.read() as snapshot:
        found = snapshot.actions.action("default", action)
    assert found is not None
    return found


def test_the_first_person_may_grant_what_the_ceiling_permits_and_every_other_one_nothing(
    world: World,
) -> None:
    settle(world)
    with world.store.read() as snapshot:
        found = {name: one.grantable for name, one in snapshot.identities.persons("default").items()}
    assert found == {"ann": Breadth.CEILING, "bob": Breadth.NOTHING, "eve": Breadth.NOTHING}
    assert [one.get("grantable") for one in world.events("identity-registered")] == [
        "ceiling",
        None,
        None,
        None,
    ]  # fmt: skip - ann, the agent, bob and eve
    start(world, CEILING, ANN)
    with pytest.raises(OutsideGrantableError, match="`bob` may grant nothing"):
        start(world, pays(1))


def test_the_account_that_owns_the_data_directory_may_grant_also_when_it_comes_second(world: World) -> None:
    settle(world)
    register_person(world.adapters, "default", "root", uid=7, actor=ANN, owner_uid=7)
    start(world, CEILING, Actor(name="root", proof="peer-uid:7 (unproven)"))


@pytest.mark.parametrize(
    ("scope", "gap"),
    [
        (pays(51), "`amount`"),
        (pays(50, "bob", "eve"), "`to`"),
        ({"grants": [{"tool": "bank__pay", "others": "any"}]}, "`to`"),
        ({"grants": [{"tool": "bank__look", "others": "any"}]}, "names a tool that no grant"),
        (pays(50), "uses"),
        (pays(50, uses=4), "more of the other's limit"),
    ],
    ids=["wider-by-one", "one-name-more", "any", "another-tool", "unlimited", "one-use-more"],
)
def test_a_scope_wider_than_what_its_requester_may_grant_is_refused_and_the_gap_is_named(
    world: World, scope: dict[str, Any], gap: str
) -> None:
    settle(world)
    say(world, "bob", pays(50, uses=3))
    before = len(world.records())
    with pytest.raises(OutsideGrantableError) as error:
        start(world, scope)
    assert gap in error.value.message
    assert "g0" in error.value.message
    assert len(world.records()) == before
    start(world, pays(50, uses=3))
    start(world, pays(50, uses=3))  # a limit is one of each task by itself


def test_a_scope_within_what_may_be_granted_and_outside_of_the_ceiling_is_refused(world: World) -> None:
    settle(world)
    world.agents.set_ceiling("default", "coder", scope_of(pays(5)), ANN)
    say(world, "bob", pays(50))
    with pytest.raises(OutsideCeilingError, match=r"grant g0 .* is wider than g0, .*`amount`"):
        start(world, pays(6))
    with pytest.raises(OutsideCeilingError):
        start(world, pays(6), ANN)
    start(world, pays(5))


def test_a_person_may_grant_what_any_of_their_groups_may_and_what_they_may_themselves(world: World) -> None:
    settle(world)
    say(world, "bob", pays(5, "bob"))
    groups = payers(world, pays(7, "eve"), "bob")
    start(world, {"grants": [*pays(5, "bob")["grants"], *pays(7, "eve")["grants"]]})
    with pytest.raises(OutsideGrantableError, match="g0 of group `payers`"):
        start(world, pays(8, "eve"))
    with pytest.raises(OutsideGrantableError):
        start(world, pays(7, "eve"), EVE)
    groups.set_member("default", "payers", "bob", member=False, actor=ANN, owns=True)
    with pytest.raises(OutsideGrantableError):
        start(world, pays(7, "eve"))
    assert [one["members"] for one in world.events("group-changed")] == [[], ["bob"], []]


def test_limits_of_two_groups_stay_apart_though_their_grants_have_the_same_ids(world: World) -> None:
    settle(world)
    groups = payers(world, pays(5, "bob", uses=1), "bob")
    groups.add("default", "others", ANN, owns=True)
    groups.set_grantable("default", "others", scope_of(pays(9, "eve", uses=8)), actor=ANN, owns=False)
    groups.set_member("default", "others", "bob", member=True, actor=ANN, owns=True)
    start(world, {"grants": [*pays(5, "bob", uses=1)["grants"], *pays(9, "eve", uses=8)["grants"]]})
    with pytest.raises(OutsideGrantableError):
        start(world, pays(5, "bob", uses=2))


def test_totals_and_rates_of_two_groups_stay_apart_too(world: World) -> None:
    settle(world)
    small, large = ({"total": {"amount": {"limit": n, "exponent": 0}}} for n in (5, 9))
    groups = payers(world, {"grants": [pays(9, "bob")["grants"][0] | small]}, "bob")
    groups.add("default", "others", ANN, owns=True)
    other = {"grants": [pays(9, "eve")["grants"][0] | large]}
    groups.set_grantable("default", "others", scope_of(other), actor=ANN, owns=False)
    groups.set_member("default", "others", "bob", member=True, actor=ANN, owns=True)
    start(world, {"grants": [pays(9, "bob")["grants"][0] | small, pays(9, "eve")["grants"][0] | large]})
    with pytest.raises(OutsideGrantableError):
        start(world, {"grants": [pays(9, "bob")["grants"][0] | large]})


def test_who_is_gone_may_grant_nothing_whatever_was_said(world: World) -> None:
    settle(world)
    bob = say(world, "bob", Breadth.CEILING)
    gone = replace(bob, state=PersonState.GONE, version=bob.version + 1)
    world.store.write(lambda tx: tx.identities.put_person(gone, expect=bob.version))
    with pytest.raises(OutsideGrantableError, match="may grant nothing"):
        start(world, pays(1))


def test_a_running_task_goes_on_when_its_requester_may_grant_less(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    task = start(world, pays(50))
    say(world, "bob", Breadth.NOTHING)
    world.views.forget()
    assert code_of(world.ask(task)) == "permit"
    with pytest.raises(OutsideGrantableError):
        start(world, pays(50))


def test_what_may_be_granted_is_compared_again_under_lock(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    world.meanwhile(lambda: say(world.beside(), "bob", pays(49)))
    with pytest.raises(OutsideGrantableError, match="changed meanwhile"):
        start(world, pays(50))
    say(world, "bob", pays(50))
    groups = payers(world, pays(60), "bob")
    leave = {"member": False, "actor": ANN, "owns": True}
    world.meanwhile(lambda: groups.set_member("default", "payers", "bob", **leave))  # type: ignore[arg-type]  # by name
    with pytest.raises(OutsideGrantableError, match="changed meanwhile"):
        start(world, pays(60))


def test_a_ceiling_that_changes_while_a_task_starts_stops_the_start(world: World) -> None:
    settle(world)
    world.meanwhile(lambda: world.beside().agents.set_ceiling("default", "coder", scope_of(pays(5)), ANN))
    with pytest.raises(UnknownIdentityError, match="changed meanwhile"):
        start(world, CEILING, ANN)
    with pytest.raises(OutsideCeilingError):
        start(world, CEILING, ANN)


def test_a_lowered_ceiling_is_asked_for_each_action_of_a_task_that_runs(world: World) -> None:
    task = settle(world)
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 10})) == "permit"
    world.agents.set_ceiling("default", "coder", scope_of(pays(5)), ANN)
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 10})) == "outside-scope"
    assert code_of(world.ask(task, arguments={"to": "bob", "amount": 5})) == "permit"
    (event,) = world.events("agent-ceiling-changed")
    assert (event["before"], event["after"]) == (scope_of(CEILING).digest, scope_of(pays(5)).digest)


def test_only_the_owner_changes_a_ceiling_and_it_has_no_limits_and_no_steps(world: World) -> None:
    settle(world)
    with pytest.raises(NotOwnerError):
        world.agents.set_ceiling("default", "coder", scope_of(CEILING), BOB)
    for one in (pays(5, uses=1), STEPS):
        with pytest.raises(CeilingLimitError):
            world.agents.set_ceiling("default", "coder", scope_of(one), ANN)
    with pytest.raises(UnknownIdentityError):
        world.agents.set_ceiling("default", "nobody", scope_of(CEILING), ANN)
    assert world.events("agent-ceiling-changed") == []


def test_nobody_gives_what_they_may_not_grant_and_nobody_takes_it_from_who_may_more(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    say(world, "eve", pays(40), actor=BOB)
    for name, said in (("eve", pays(51)), ("bob", pays(51)), ("bob", Breadth.CEILING), ("ann", pays(1))):
        with pytest.raises(NotGiverError):
            say(world, name, said, actor=BOB)
    with pytest.raises(NotGiverError):
        say(world, "bob", Breadth.NOTHING, actor=EVE)
    say(world, "bob", pays(49), actor=BOB)
    with pytest.raises(NotGiverError):
        say(world, "bob", pays(50), actor=BOB)
    say(world, "bob", Breadth.CEILING, actor=Actor(name="uid:7", proof="peer-uid:7"), owns=True)
    assert [one["identity"] for one in world.events("grantable-changed")] == ["bob", "eve", "bob", "bob"]
    assert world.events("grantable-changed")[-1]["after"] == "ceiling"


def test_nobody_gives_a_group_what_they_may_not_grant(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    groups = payers(world, pays(60))
    with pytest.raises(NotGiverError):
        groups.set_grantable("default", "payers", scope_of(pays(50)), actor=BOB, owns=False)
    groups.set_grantable("default", "payers", scope_of(pays(50)), actor=ANN, owns=False)
    groups.set_grantable("default", "payers", scope_of(pays(40)), actor=BOB, owns=False)


@pytest.mark.parametrize("scope", [None, pays(50)], ids=["approves-only", "grants"])
def test_nobody_but_the_owner_of_the_data_says_who_is_in_a_group(
    world: World, scope: dict[str, Any] | None
) -> None:
    settle(world)
    groups = payers(world, scope or pays(50), "eve")
    if scope is None:
        groups.set_grantable("default", "payers", Breadth.NOTHING, actor=ANN, owns=False)
    for actor in (ANN, BOB, EVE):
        for person, member in (("ann", True), ("bob", True), ("eve", True), ("eve", False)):
            if not (actor is EVE and (person, member) == ("eve", False)):
                with pytest.raises(NotSelfError, match="only the account that owns the data directory"):
                    groups.set_member("default", "payers", person, member=member, actor=actor, owns=False)
    assert [one["members"] for one in world.events("group-changed")] == [[], ["eve"]]
    groups.set_member("default", "payers", "eve", member=False, actor=EVE, owns=False)
    assert [one["members"] for one in world.events("group-changed")] == [[], ["eve"], []]


def test_nobody_but_the_owner_of_the_data_makes_a_group(world: World) -> None:
    settle(world)
    for actor in (ANN, BOB):
        with pytest.raises(NotSelfError, match="only the account that owns the data directory"):
            Groups(world.adapters).add("default", "finance", actor, owns=False)
    assert world.events("group-changed") == []


def test_who_has_left_is_taken_into_no_group(world: World) -> None:
    settle(world)
    groups = payers(world, pays(50))
    people = People(world.adapters, world.views)
    people.leave("default", "bob", BOB, owns=False, reason="")
    with pytest.raises(UnknownIdentityError, match="no person is named `bob`"):
        groups.set_member("default", "payers", "bob", member=True, actor=ANN, owns=True)
    people.come_back("default", "bob", ANN, owns=True)
    with pytest.raises(OutsideGrantableError):
        start(world, pays(1))


def test_what_can_not_be_said_of_a_person_or_a_group_is_refused(world: World) -> None:
    settle(world)
    groups = payers(world, pays(5))
    with pytest.raises(BadGrantableError):
        say(world, "bob", STEPS)
    with pytest.raises(BadGrantableError):
        groups.set_grantable("default", "payers", scope_of(STEPS), actor=ANN, owns=False)
    with pytest.raises(UnknownIdentityError):
        say(world, "nobody", pays(5))
    with pytest.raises(UnknownIdentityError):
        groups.set_grantable("default", "none", scope_of(pays(5)), actor=ANN, owns=False)
    with pytest.raises(UnknownIdentityError):
        groups.set_member("default", "payers", "nobody", member=True, actor=ANN, owns=True)
    with pytest.raises(IdentityExistsError):
        groups.add("default", "payers", ANN, owns=True)
    with pytest.raises(MalformedError):
        groups.add("default", "Pay Ers", ANN, owns=True)


def test_groups_are_few_and_those_of_one_person_fewer(world: World) -> None:
    settle(world)
    groups = Groups(world.adapters)
    for number in range(256):
        groups.add("default", f"g{number}", ANN, owns=True)
    with pytest.raises(TooManyGroupsError):
        groups.add("default", "one-more", ANN, owns=True)
    for number in range(32):
        groups.set_member("default", f"g{number}", "bob", member=True, actor=ANN, owns=True)
    with pytest.raises(TooManyGroupsError):
        groups.set_member("default", "g32", "bob", member=True, actor=ANN, owns=True)
    groups.set_member("default", "g0", "bob", member=True, actor=ANN, owns=True)  # is one already


def test_a_refusal_says_that_its_requester_could_grant_what_was_missing(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    task = start(world, pays(5))
    action, refusal = refused(world, task, {"to": "bob", "amount": 50})
    assert [one.code for one in refusal.reasons] == ["above-max", "grantable"]
    assert refusal.instead == "stay within that, or ask `bob` for a task that covers it"
    assert explain(world.adapters, "default", action).could_grant == "yes: `bob` may grant it"
    assert kept(world, action).reasons[1][0] == "grantable"
    assert world.events("action-decided")[-1]["reasons"] == ["outside-scope", "above-max", "grantable"]


def test_a_refusal_says_that_its_requester_could_not_grant_what_was_missing(world: World) -> None:
    settle(world)
    say(world, "bob", pays(50))
    task = start(world, pays(5))
    action, refusal = refused(world, task, {"to": "bob", "amount": 51})
    assert [one.code for one in refusal.reasons] == ["above-max", "not-grantable"]
    assert refusal.instead == "stay within that; `bob` may not grant it"
    assert explain(world.adapters, "default", action).could_grant == "no: `bob` may not grant it"
    say(world, "bob", pays(51))
    assert explain(world.adapters, "default", action).could_grant == "yes: `bob` may grant it"


def test_a_refusal_says_that_nobody_could_grant_what_the_ceiling_leaves_out(world: World) -> None:
    task = settle(world)
    world.agents.set_ceiling("default", "coder", scope_of(pays(60, "bob")), ANN)
    _, refusal = refused(world, task, {"to": "bob", "amount": 61})
    assert [one.code for one in refusal.reasons] == ["above-max", "not-grantable"]
    assert "no person may grant it" in refusal.instead
    _, refusal = refused(world, task, {"to": "bob", "amount": 60})
    assert refusal.reasons[1].code == "grantable"


def test_what_was_permitted_is_explained_without_a_word_on_granting(world: World) -> None:
    task = settle(world)
    assert explain(world.adapters, "default", id_of(world.ask(task))).could_grant == ""


def test_a_task_to_learn_from_is_called_so_wherever_it_is(world: World) -> None:
    settle(world)
    task = start(world, CEILING, ANN, learning=True, seconds=FORTNIGHT)
    assert task.learning
    assert world.child(task).learning
    world.agents.suspend("default", "coder", ANN, reason="")
    (started,) = [one for one in world.events("task-started") if one.get("learning")]
    assert (started["task"], started["by"], started["proof"]) == (task.id, "ann", ANN.proof)
    changed = [one["task"] for one in world.events("task-changed") if one.get("learning")]
    assert task.id in changed


@pytest.mark.parametrize("seconds", [FORTNIGHT + 1, 30 * 24 * 3600])
def test_a_task_to_learn_from_lives_at_most_fourteen_days(world: World, seconds: int) -> None:
    settle(world)
    with pytest.raises(TaskSyntaxError, match="to learn from"):
        start(world, CEILING, ANN, learning=True, seconds=seconds)
    assert not start(world, CEILING, ANN, seconds=seconds).learning


def test_only_the_owner_starts_a_task_to_learn_from_and_within_both_bounds(world: World) -> None:
    settle(world)
    say(world, "bob", Breadth.CEILING)
    with pytest.raises(NotOwnerError):
        start(world, CEILING, learning=True)
    start(world, CEILING)
    wider = {"grants": [{"tool": "bank__burn", "others": "any"}]}
    with pytest.raises(OutsideCeilingError):
        start(world, wider, ANN, learning=True)
    say(world, "ann", pays(5), owns=True)
    with pytest.raises(OutsideGrantableError):
        start(world, CEILING, ANN, learning=True)


@pytest.mark.parametrize("member", ["credentials", "credential", "tokens", "mint"])
def test_a_scope_that_asks_for_credentials_is_none(world: World, member: str) -> None:
    settle(world)
    asks = {"grants": [{"tool": "bank__pay", "others": "any", member: ["github"]}]}
    with pytest.raises(MalformedError):
        start(world, asks, ANN, learning=True)


def test_learning_can_be_read_by_policies_and_not_said_by_a_call(world: World) -> None:
    settle(world)
    world = type(world)(
        store=world.store,
        policy=world.policy
        + '\n@id("calm") forbid (principal, action, resource) when { context.task.learning };',
        clock=world.clock,
        chance=world.chance,
    )
    learning = start(world, CEILING, ANN, learning=True)
    assert code_of(world.ask(learning)) == "forbidden"
    plain = start(world, SCOPE, ANN)
    assert code_of(world.ask(plain)) == "permit"
    assert (
        code_of(world.ask(plain, arguments={"to": "bob", "amount": 1, "learning": True})) == "outside-scope"
    )


def test_all_refusals_of_a_start_are_denials(world: World) -> None:
    settle(world)
    for kind in (OutsideGrantableError, OutsideCeilingError, NotOwnerError, NotGiverError):
        assert issubclass(kind, DeniedError)
        assert kind.remedy
