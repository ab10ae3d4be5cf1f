from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import Action, canonical
from taskbound.core.action.digest import Frame
from taskbound.core.approval import AnswerKind
from taskbound.core.errors import TaskboundError
from taskbound.core.token import TokenForm
from taskbound.flows.action import Withhold
from taskbound.flows.token import revoke_token, sweep_tokens
from taskbound.flows.token.issuing import Issued, TransactionTokenOrder
from taskbound.ports.signer import SignerUnavailableError
from tests.peers.holding import TWICE, Holding, hold_policy
from tests.peers.planning import FIRST, Planner
from tests.peers.targeting import Targets
from tests.sqlite import sqlite_store
from tests.token_world import API, CODER, KEY, TokenWorld, claims_in, part
from tests.world import ANN, CEILING, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.ports.store import Store

CONTENT = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
"""RFC 9530, appendix B."""


def ask(here: TokenWorld, task: Task, action: str, **changes: Any) -> Issued:
    plain: dict[str, Any] = {
        "namespace": "default",
        "task": task.id,
        "agent": task.agent,
        "action": action,
    }
    return here.tokens.issue_transaction_token(TransactionTokenOrder(**plain | changes), CODER)


def refused(code: str, work: Callable[[], object]) -> None:
    with pytest.raises(TaskboundError) as found:
        work()
    assert found.value.code == code, found.value


def test_a_permitted_action_has_a_token_that_says_which_one_it_is_for_seconds(here: TokenWorld) -> None:
    task = here.settle_in()
    answer = here.world.ask(task)
    assert code_of(answer) == "permit"
    issued = ask(here, task, id_of(answer), content=CONTENT)
    assert part(issued.text, 0)["typ"] == "txntoken+jwt"
    found = claims_in(issued.text)
    assert (found["aud"], found["txn"], found["sub"]) == ("corp.example", id_of(answer), "person:ann")
    assert found["exp"] - found["iat"] <= 30
    assert found["tctx"]["content_digest"] == CONTENT
    with here.adapters.store.read() as snapshot:
        action = snapshot.actions.action("default", id_of(answer))
    assert action is not None
    assert found["tctx"]["action_digest"] == action.digest
    with pytest.raises(TaskboundError):
        here.verify(issued.text, audience="corp.example")  # it is no access token
    assert here.rows()[0].form is TokenForm.TRANSACTION


def test_it_says_which_approval_was_used_and_who_approved(store: Store, tmp_path: Path) -> None:
    people = Holding(store, TWICE)
    there = TokenWorld(store, tmp_path, world=people.world)
    there.keys.tend()
    held = people.world.ask(people.task)
    assert code_of(held) == "hold"
    refused("action-not-open", lambda: ask(there, people.task, id_of(held)))
    for who in ("carl", "bob"):
        people.say(id_of(held), who)
    refused("action-not-open", lambda: ask(there, people.task, id_of(held)))  # approved is not permitted
    permitted = people.world.ask(people.task)
    assert (code_of(permitted), id_of(permitted)) == ("permit", id_of(held))
    context = claims_in(ask(there, people.task, id_of(held)).text)["tctx"]
    assert context["approval"] == people.approval(id_of(held)).question.id
    assert context["approver"] == ["person:bob", "person:carl"]
    with people.world.store.read() as snapshot:
        action = snapshot.actions.action("default", id_of(held))
    assert action is not None
    assert (context["tool"], context["target"]) == (action.tool, action.server)
    there.close()


def test_an_action_of_a_part_of_a_task_names_the_tasks_above_it(here: TokenWorld) -> None:
    root = here.settle_in()
    own = here.world.ask(root, "bank__look", {"path": "/srv/a"})
    assert claims_in(ask(here, root, id_of(own)).text)["tctx"]["ancestors"] == []
    here.world.add_agent("helper")
    part_of = here.world.delegate(root)
    here.world.add_agent("third")
    deeper = here.world.delegate(part_of, agent="third")
    permitted = here.world.ask(deeper, "bank__look", {"path": "/srv/a"}, agent="third")
    assert code_of(permitted) == "permit"
    context = claims_in(ask(here, deeper, id_of(permitted)).text)["tctx"]
    assert context["ancestors"] == [part_of.id, root.id]


def test_an_action_of_a_plan_says_who_approved_the_plan(store: Store, tmp_path: Path) -> None:
    people = Planner(store)
    there = TokenWorld(store, tmp_path, world=people.world)
    there.keys.tend()
    people.sign(people.propose())
    permitted = people.call(FIRST)
    assert code_of(permitted) == "permit"
    context = claims_in(ask(there, people.task, id_of(permitted)).text)["tctx"]
    assert context["approval"] == people.approval(id_of(permitted)).question.id
    assert context["approver"] == ["person:bob"]
    there.close()


def test_who_narrowed_an_action_approved_what_it_became(tmp_path: Path) -> None:
    people = Holding(sqlite_store())
    there = TokenWorld(people.world.store, tmp_path, world=people.world)
    there.keys.tend()
    held = people.world.ask(people.task)
    people.narrow(id_of(held), "bob", {"to": "bob", "amount": 9})
    permitted = people.world.ask(people.task, "bank__pay", {"to": "bob", "amount": 9})
    assert code_of(permitted) == "permit"
    assert claims_in(ask(there, people.task, id_of(permitted)).text)["tctx"]["approver"] == ["person:bob"]
    there.close()


def test_a_requester_who_confirmed_approved_nothing(tmp_path: Path) -> None:
    people = Holding(sqlite_store(), hold_policy("confirm"))
    there = TokenWorld(people.world.store, tmp_path, world=people.world)
    there.keys.tend()
    held = people.world.ask(people.task)
    people.say(id_of(held), "ann", AnswerKind.CONFIRM)
    assert code_of(people.world.ask(people.task)) == "permit"
    assert claims_in(ask(there, people.task, id_of(held)).text)["tctx"]["approver"] == []
    there.close()


def test_an_action_that_was_never_permitted_or_has_an_outcome_has_none(here: TokenWorld) -> None:
    task = here.settle_in()
    refused_one = here.world.ask(task, "bank__pay", {"to": "mallory", "amount": 10})
    assert code_of(refused_one) != "permit"
    done = here.world.ask(task)
    here.world.tell(id_of(done))
    for action in (id_of(refused_one), id_of(done), "act_nothing", ""):
        refused("action-not-open", lambda action=action: ask(here, task, action))  # type: ignore[misc]  # bound in the loop
    assert here.rows() == ()


def test_an_action_that_asks_for_a_credential_has_none(here: TokenWorld) -> None:
    here.settle_in()
    targets = Targets(here.world)
    asked = targets.ask()
    assert code_of(asked) == "permit"
    refused("action-not-open", lambda: ask(here, targets.task, id_of(asked)))
    plain = here.world.ask(targets.task, agent="minter")
    assert ask(here, targets.task, id_of(plain)).text
    assert [one.action for one in here.rows()] == [id_of(plain)]


def test_a135_an_action_of_another_task_or_agent_has_none(here: TokenWorld) -> None:
    task = here.settle_in()
    here.world.add_agent("helper")
    answer = here.world.ask(task)
    other = here.world.start(scope=CEILING)
    theirs = here.world.start(agent="helper")
    refused("action-not-open", lambda: ask(here, other, id_of(answer)))
    refused("action-not-open", lambda: ask(here, theirs, id_of(answer)))
    refused("no-task", lambda: ask(here, task, id_of(answer), agent="helper"))


def test_an_outcome_that_commits_first_wins_over_the_token(here: TokenWorld) -> None:
    task = here.settle_in()
    answer = here.world.ask(task)
    here.world.meanwhile(lambda: here.world.tell(id_of(answer)))
    refused("action-not-open", lambda: ask(here, task, id_of(answer)))
    assert here.rows() == ()
    again = here.world.ask(task)
    here.signer.before = lambda: here.world.tell(id_of(again))
    refused("action-not-open", lambda: ask(here, task, id_of(again)))
    assert [one.revoked != 0 for one in here.rows()] == [True]


def test_that_nothing_was_sent_is_refused_once_a_token_is_out_and_leaves_one_record(here: TokenWorld) -> None:
    task = here.settle_in()
    action, left = id_of(here.world.ask(task)), here.world.left(task)
    twin = id_of(here.world.ask(task))
    ask(here, task, action)
    answer = here.world.tell(action, "not-sent", None)
    assert isinstance(answer, Withhold)
    assert (answer.code, answer.recorded) == ("token-was-issued", False)
    assert "`unknown`" in answer.advice
    assert here.world.tell(twin, "not-sent", None) == Withhold(
        action=twin, code="not-sent", reason="there is no result"
    )
    assert here.world.left(task) == left  # the twin's is given back, and nothing of the other's
    assert here.world.events("outcome-refused") == [
        {
            "kind": "outcome-refused",
            "action": action,
            "task": task.id,
            "agent": "coder",
            "outcome": "not-sent",
            "code": "token-was-issued",
            "connection": "con_a",
        }
    ]
    refused("action-not-open", lambda: ask(here, task, twin))
    assert here.world.tell(action, "unknown", None).action == action
    assert here.world.left(task) == left


def test_a_token_that_is_over_revoked_or_swept_for_may_have_been_used_all_the_same(here: TokenWorld) -> None:
    task = here.settle_in()
    over, gone = id_of(here.world.ask(task)), id_of(here.world.ask(task))
    ask(here, task, over)
    revoke_token(here.adapters, "default", ask(here, task, gone).token.id, ANN, owns=True, why="lost")
    here.world.clock.advance(2 * 86_400)
    here.world.add_agent("late")  # a record of today
    assert sweep_tokens(here.adapters) == 0
    for action in (over, gone):
        answer = here.world.tell(action, "not-sent", None)
        assert isinstance(answer, Withhold)
        assert answer.code == "token-was-issued"
        here.world.tell(action, "unknown", None)
    assert sweep_tokens(here.adapters) == 2


def test_a_token_that_could_not_be_signed_is_nobodys_and_one_whose_daemon_was_killed_may_be(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    unsigned, killed = id_of(here.world.ask(task)), id_of(here.world.ask(task))

    def fail() -> None:
        raise SignerUnavailableError("the signer does not answer")

    here.signer.before = fail
    refused("signer-unavailable", lambda: ask(here, task, unsigned))
    assert [one.unsigned for one in here.rows()] == [True]
    here.signer.before = die
    with pytest.raises(KilledError):
        ask(here, task, killed)
    here.signer.before = lambda: None
    answers = [here.world.tell(one, "not-sent", None) for one in (unsigned, killed)]
    assert [one.code for one in answers if isinstance(one, Withhold)] == ["not-sent", "token-was-issued"]
    second = id_of(here.world.ask(task))
    ask(here, task, second)
    here.signer.before = fail
    refused("signer-unavailable", lambda: ask(here, task, second))
    answer = here.world.tell(second, "not-sent", None)
    assert isinstance(answer, Withhold)
    assert answer.code == "token-was-issued"  # of two tokens one is out


class KilledError(BaseException):
    """The daemon ends here."""


def die() -> None:
    raise KilledError


def test_refused_outcomes_use_up_their_agents_allowance_and_are_counted_then(here: TokenWorld) -> None:
    task = here.settle_in()
    action = id_of(here.world.ask(task))
    ask(here, task, action)
    for _ in range(120):
        here.world.tell(action, "not-sent", None)
    assert len(here.world.events("outcome-refused")) == 100


def test_g7_what_is_asked_with_a_token_ends_with_it_and_is_nothing_once_it_was_revoked(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    action = id_of(here.world.ask(task))
    token = here.issue(task, life=20).token
    assert claims_in(ask(here, task, action, parent=token.id).text)["exp"] * 1_000_000 == token.expires
    before = len(here.rows())
    here.world.meanwhile(
        lambda: revoke_token(here.adapters, "default", token.id, ANN, owns=True, why="it was stolen")
    )
    refused("token-revoked", lambda: ask(here, task, action, parent=token.id))
    refused("unknown-token", lambda: ask(here, task, action, parent="tok_none"))
    over = here.issue(task, life=5).token
    here.world.clock.advance(5)
    refused("token-ended", lambda: ask(here, task, action, parent=over.id))
    kept = here.issue(task).token
    here.world.meanwhile(lambda: here.keys.revoke(kept.key, ANN, why="it was lost"))
    refused("token-key-revoked", lambda: ask(here, task, action, parent=kept.id))
    assert len(here.rows()) == before + 2


@pytest.mark.parametrize(
    "content", ["sha-256=:AA==:", CONTENT[:-1], CONTENT + ", sha-256=:AA==:", "md5=:AA==:", "x\r\ny", "é"]
)
def test_a_digest_of_content_that_is_none_is_refused(here: TokenWorld, content: str) -> None:
    task = here.settle_in()
    answer = here.world.ask(task)
    refused("bad-content-digest", lambda: ask(here, task, id_of(answer), content=content))


def test_a_task_token_is_for_no_action_and_a_transaction_token_for_no_request(here: TokenWorld) -> None:
    task = here.settle_in()
    answer = here.world.ask(task)
    issued = ask(here, task, id_of(answer), parent=here.issue(task).token.id)
    assert issued.token.parent
    refused("token-kind", lambda: here.verify(issued.text, audience=API, shown=KEY))
    told = here.verification.introspect(issued.text, client="agent:coder", audiences=[API])
    assert told == {"active": False}


def test_what_a_token_says_is_enough_to_make_the_digest_of_the_action_from_its_arguments(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    claims = claims_in(ask(here, task, id_of(here.world.ask(task))).text)
    context = claims["tctx"]
    frame = Frame(
        namespace=context["namespace"],
        task=context["task"],
        agent=claims["req_wl"].removeprefix("agent:"),
        tool=context["tool"],
        server=context["target"],
        definition=context["definition"],
    )
    made = Action(frame=frame, arguments=canonical({"amount": 10, "to": "bob"}))
    assert made.digest == context["action_digest"]
