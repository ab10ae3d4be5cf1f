"""Policies that read what of a task's evidence stands, at each call and under lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.task import Signed
from taskbound.flows.action import explain
from tests.stories.test_evidence import SECOND, believe, doubt, start, token
from tests.tokens import es256
from tests.world import World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.ports.store import Store

PAY = 'principal, action == Taskbound::Action::"bank__pay", resource'
TICKETED = f'@id("ticketed") forbid ({PAY}) unless {{ context.task.proven.contains("jws.tickets") }};'
UPRIGHT = f'@id("upright") forbid ({PAY}) unless {{ context.task.unproven.isEmpty() }};'
BOTH = pytest.mark.parametrize("rule", [TICKETED, UPRIGHT], ids=["proven", "unproven"])


@pytest.fixture
def there(store: Store, rule: str) -> World:
    world = World(store=store, policy=base_bundle() + rule)
    world.settle_in()
    believe(world)
    return world


def paid(world: World, task: Task) -> str:
    return code_of(world.ask(task))


@BOTH
def test_what_rests_on_an_issuers_word_is_refused_from_the_moment_when_it_counts_no_more(
    there: World,
) -> None:
    task = start(there, token(there), evidence=("ticket:jira:OPS-17",))
    assert [paid(there, task), paid(there, task)] == ["permit", "permit"]
    doubt(there)
    assert paid(there, task) == "forbidden"
    looked = there.ask(task, "bank__look", {"path": "/srv/a"})
    assert code_of(looked) == "permit", "a rule of another tool looks at nothing"
    believe(there, es256("tickets-1", seed=99))
    assert paid(there, task) == "forbidden", "the issuer is back with another key"
    doubt(there)
    believe(there)
    assert paid(there, task) == "permit", "the key that signed is back"


@BOTH
def test_what_rests_on_a_signed_word_is_refused_from_its_expiry_on(there: World) -> None:
    task = start(there, token(there, exp=there.clock.now() // 1_000_000 + 600))
    there.clock.advance(598)
    assert paid(there, task) == "permit"
    there.clock.advance(2)
    assert paid(there, task) == "forbidden"


@BOTH
@pytest.mark.parametrize("change", ["removed", "another key", "expired"])
def test_a_word_that_falls_between_judging_and_writing_permits_nothing(there: World, change: str) -> None:
    task = start(there, token(there, exp=there.clock.now() // 1_000_000 + 600))
    other = there.beside()

    def meanwhile() -> None:
        if change == "expired":
            there.clock.advance(600)
            return
        doubt(other)
        if change == "another key":
            believe(other, es256("tickets-1", seed=99))

    there.meanwhile(meanwhile)
    assert paid(there, task) == "forbidden"
    (decided,) = there.events("action-decided")
    assert decided["decision"] == "refuse"


@BOTH
def test_an_issuer_that_comes_between_changes_no_answer_that_is_still_so(there: World) -> None:
    task = start(there, token(there))
    other = there.beside()
    there.meanwhile(lambda: believe(other, SECOND, name="others", issuer="https://example.com/others"))
    assert paid(there, task) == "permit"


@pytest.mark.parametrize("rule", [TICKETED])
def test_tickets_words_and_another_issuers_word_prove_nothing(there: World) -> None:
    believe(there, SECOND, name="others", issuer="https://example.com/others")
    plain = start(there, evidence=("ticket:tickets:1", f"words:sha256:{'a' * 64}"))
    assert paid(there, plain) == "forbidden"
    others = start(there, token(there, SECOND, iss="https://example.com/others"))
    assert paid(there, others) == "forbidden"
    both = start(there, token(there), token(there, SECOND, iss="https://example.com/others"))
    assert paid(there, both) == "permit"


@pytest.mark.parametrize("rule", [UPRIGHT])
def test_one_word_that_fell_is_seen_beside_another_that_stands(there: World) -> None:
    believe(there, SECOND, name="others", issuer="https://example.com/others")
    task = start(there, token(there), token(there, SECOND, iss="https://example.com/others"))
    assert paid(there, task) == "permit"
    doubt(there, "others")
    assert paid(there, task) == "forbidden"


@pytest.mark.parametrize("rule", [TICKETED])
def test_a_piece_that_names_another_token_than_it_was_made_of_proves_nothing(there: World) -> None:
    task = start(there, token(there))
    (piece,) = task.evidence
    (other,) = start(there, token(there, sub="OPS-18")).evidence
    assert isinstance(piece, Signed)
    assert isinstance(other, Signed)
    swapped = replace(task, evidence=(replace(piece, token=other.token),), version=task.version + 1)
    there.store.write(lambda tx: tx.tasks.put_task(swapped, expect=task.version))
    there.views.forget()
    assert paid(there, task) == "forbidden"


@BOTH
def test_what_stood_is_recorded_with_the_decision_and_explained_from_there(there: World, rule: str) -> None:
    task = start(there, token(there))
    action = id_of(there.ask(task))
    doubt(there)
    assert explain(there.adapters, "default", action).replay == "same"
    with there.store.read() as snapshot:
        kept = snapshot.actions.action("default", action)
    assert kept is not None
    name, words = ("task.proven", "jws\njws.tickets") if rule == TICKETED else ("task.unproven", "")
    assert dict(kept.facts)[name] == words
