from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.token import TokenForm
from taskbound.flows.token import revoke_token
from taskbound.flows.token.orders import Issued, TransactionTokenOrder
from tests.token_world import API, CODER, KEY, TokenWorld, claims_in, part
from tests.world import ANN, CEILING, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task

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
    with here.means.store.read() as snapshot:
        action = snapshot.actions.action("default", id_of(answer))
    assert action is not None
    assert found["tctx"]["action_digest"] == action.digest
    with pytest.raises(TaskboundError):
        here.verify(issued.text, audience="corp.example")  # it is no access token
    assert here.rows()[0].form is TokenForm.TRANSACTION


def test_an_action_that_was_never_permitted_or_has_an_outcome_has_none(here: TokenWorld) -> None:
    task = here.settle_in()
    refused_one = here.world.ask(task, "bank__pay", {"to": "mallory", "amount": 10})
    assert code_of(refused_one) != "permit"
    done = here.world.ask(task)
    here.world.tell(id_of(done))
    for action in (id_of(refused_one), id_of(done), "act_nothing", ""):
        refused("action-not-open", lambda action=action: ask(here, task, action))  # type: ignore[misc]  # bound in the loop
    assert here.rows() == ()


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


def test_g7_what_is_asked_with_a_token_ends_with_it_and_is_nothing_once_it_was_revoked(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    action = id_of(here.world.ask(task))
    token = here.issue(task, life=20).token
    assert claims_in(ask(here, task, action, parent=token.id).text)["exp"] * 1_000_000 == token.expires
    before = len(here.rows())
    here.world.meanwhile(
        lambda: revoke_token(here.means, "default", token.id, ANN, owns=True, why="it was stolen")
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
