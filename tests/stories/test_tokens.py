from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.task import TaskEvent
from taskbound.core.token import NEVER, BadTokenLifeError, TokenState, UnboundTokenError, state_of
from taskbound.core.token.key import is_listed
from taskbound.flows.revocation import stop
from taskbound.flows.token import sweep_tokens
from taskbound.flows.token.keys import RowSigner
from taskbound.flows.token.revoking import revoke_token
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wire.jose import TokenExpiredError
from tests.token_world import API, ISSUER, KEY, OTHER_KEY, TokenWorld, claims_in, part
from tests.world import ANN, WorldClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task


def ended(here: TokenWorld, task: Task) -> None:
    here.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="done")


def paused(here: TokenWorld, task: Task) -> None:
    here.world.tasks.pause("default", task.id, ANN, reason="wait")


def overdue(here: TokenWorld, task: Task) -> None:
    here.world.clock.at = max(here.world.clock.at, task.deadline)


def suspended(here: TokenWorld, task: Task) -> None:
    here.world.agents.suspend("default", task.agent, ANN, reason="risk")


def stopped(here: TokenWorld, _: Task) -> None:
    stop(here.adapters, "default", stopped=True, reason="enough", actor=ANN)


ENDINGS = {
    "its task has ended": (ended, "task-ended"),
    "its task is paused": (paused, "task-paused"),
    "its agent is suspended": (suspended, "inactive-agent"),
    "everything is stopped": (stopped, "stopped"),
}


def refused(code: str, work: Callable[[], object]) -> TaskboundError:
    with pytest.raises(TaskboundError) as found:
        work()
    assert found.value.code == code, found.value
    return found.value


def test_a_task_token_proves_its_agent_with_its_task_for_as_long_as_it_lives(here: TokenWorld) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    assert part(issued.text, 0)["typ"] == "at+jwt"
    found = claims_in(issued.text)
    assert (found["sub"], found["client_id"], found["act"]) == (
        "person:ann",
        "agent:coder",
        {"sub": "agent:coder"},
    )
    assert found["exp"] - found["iat"] == 300
    assert found["cnf"] == {"jkt": KEY.thumbprint}
    verified = here.verify(issued.text)
    principal = verified.principal
    assert (principal.kind, principal.namespace, principal.name) == (PrincipalKind.AGENT, "default", "coder")
    assert principal.proof.words == f"token:{issued.token.id} (dpop)"
    assert isinstance(principal, Principal)
    here.world.clock.at = issued.token.expires
    refused("token-expired", lambda: here.verify(issued.text))


def test_i46_a_token_is_a_row_and_a_record_before_it_is_signed(here: TokenWorld) -> None:
    task = here.settle_in()
    seen: list[Any] = []

    def look() -> None:
        (row,) = here.rows()
        (event,) = here.world.events("token-issued")
        seen.append((row.id, event["token"], row.digest == event["digest"], row.record > 0))

    here.signer.before = look
    issued = here.issue(task)
    assert seen == [(issued.token.id, issued.token.id, True, True)]


@pytest.mark.parametrize("how", ENDINGS)
def test_a136_a151_no_token_is_issued_once(here: TokenWorld, how: str) -> None:
    task = here.settle_in()
    end, code = ENDINGS[how]
    end(here, task)
    refused(code, lambda: here.issue(task))
    assert here.rows() == ()
    assert here.world.events("token-issued") == []


@pytest.mark.parametrize("how", ENDINGS)
def test_a136_a_token_is_worth_nothing_once(here: TokenWorld, how: str) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    here.verify(issued.text)  # its signature is remembered from here on
    end, code = ENDINGS[how]
    end(here, task)
    refused(code, lambda: here.verify(issued.text))
    assert here.verification.introspect(issued.text, client="agent:coder", audiences=()) == {"active": False}


@pytest.mark.parametrize("how", ENDINGS)
def test_a136_the_signer_signs_nothing_even_when_the_daemon_asks_once(here: TokenWorld, how: str) -> None:
    task = here.settle_in()
    end, code = ENDINGS[how]
    here.signer.before = lambda: end(here, task)
    refused(code, lambda: here.issue(task))
    (row,) = here.rows()
    assert state_of(row, here.world.clock.now()) is TokenState.REVOKED
    assert "could not be signed" in row.why
    (event,) = here.world.events("token-revoked")
    assert event["token"] == row.id


def test_a136_a_token_ends_with_an_ancestor_of_its_task(here: TokenWorld) -> None:
    parent = here.settle_in()
    child = here.world.child(parent)
    issued = here.issue(child)
    here.verify(issued.text)
    paused(here, parent)
    refused("task-paused", lambda: here.verify(issued.text))


def test_i44_a_token_ends_before_its_task_and_before_what_proved_its_agent(here: TokenWorld) -> None:
    here.settle_in()
    task = here.world.start(seconds=40)
    assert here.issue(task).token.expires <= task.deadline
    soon = Instant(here.world.clock.now() + seconds(7))
    assert here.issue(task, until=soon).token.expires <= soon
    assert here.issue(task, life=5).token.expires <= here.world.clock.now() + seconds(5)
    with pytest.raises(BadTokenLifeError):
        here.issue(task, until=here.world.clock.now())
    overdue(here, task)
    refused("task-expired", lambda: here.issue(task))


def test_a151_a_token_is_bound_unless_whoever_issues_it_says_otherwise(here: TokenWorld) -> None:
    task = here.settle_in()
    with pytest.raises(UnboundTokenError):
        here.issue(task, binding=None)
    bound = here.issue(task)
    for shown in (None, OTHER_KEY, replace(KEY, kind=type(KEY.kind).MTLS)):
        refused("token-unbound", lambda shown=shown: here.verify(bound.text, shown=shown))  # type: ignore[misc]  # bound in the loop
    bearer = here.issue(task, binding=None, bearer=True)
    assert "cnf" not in claims_in(bearer.text)
    assert here.verify(bearer.text, shown=None).principal.proof.words.endswith("(bearer)")


def test_a135_a_token_is_for_its_agents_task_its_audience_and_its_namespace(here: TokenWorld) -> None:
    task = here.settle_in()
    here.world.add_agent("helper")
    refused("no-task", lambda: here.issue(task, agent="helper"))
    refused("unknown-identity", lambda: here.issue(task, agent="nobody"))
    refused("unknown-identity", lambda: here.issue(task, namespace="acme"))
    issued = here.issue(task)
    for audience in ("", API[:-1], API + "x", API.upper(), ISSUER):
        refused("token-audience", lambda audience=audience: here.verify(issued.text, audience=audience))  # type: ignore[misc]  # bound in the loop
    refused("unknown-token", lambda: here.verify(issued.text, namespace="acme"))
    here.verify(issued.text, namespace="default")


def test_i39_a130_no_byte_of_a_token_can_be_another(here: TokenWorld) -> None:
    text = here.issue(here.settle_in()).text
    here.verify(text)
    step = max(1, len(text) // 60)
    for place in range(0, len(text), step):
        for other in ("A", "b", ".", "="):
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises(TaskboundError):
                    here.verify(changed)
    for changed in (text + "A", text[:-1], " " + text, text + "\n", text + "=", text + ".x", ""):
        with pytest.raises(TaskboundError):
            here.verify(changed)


def test_what_is_remembered_is_the_signature_and_never_that_a_token_holds(here: TokenWorld) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    checks: list[object] = []
    real = here.adapters.tokens

    class Counting:
        def verify(self, compact: Any, key: Any) -> None:
            checks.append(key)
            real.verify(compact, key)

    object.__setattr__(here.adapters, "tokens", Counting())
    for _ in range(3):
        here.verify(issued.text)
    assert len(checks) == 1
    here.verification.revoke(issued.text, client="agent:coder", actor=ANN)
    refused("token-revoked", lambda: here.verify(issued.text))
    again = here.issue(task)
    here.verify(again.text)
    here.world.clock.at = again.token.expires
    refused("token-expired", lambda: here.verify(again.text))


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "https://other.example/"},
        {"subject": "person:eve"},
        {"actors": ("agent:eve",)},
        {"binding": OTHER_KEY},
        {"binding": None},
        {"expires": Instant(1_800_000_000_000_000 + minutes(9))},
        {"issuer": "https://other.example"},
        {"record": 1},
        {"record": 0},
        {"digest": "0" * 64},
        {"id": "tok_other"},
    ],
    ids=lambda changes: " ".join(f"{name} {value}"[:30] for name, value in changes.items()),
)
def test_a135_a_row_that_is_not_the_one_that_was_issued_is_not_signed(
    here: TokenWorld, changes: dict[str, Any]
) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    altered = replace(issued.token, **{"id": "tok_altered", "index": issued.token.index ^ 1, **changes})
    here.adapters.store.write(lambda tx: tx.tokens.insert(altered))
    refused("token-altered", lambda: here.signer.sign_token("default", altered.id))


def test_a_row_that_was_issued_is_signed_again_with_the_same_claims(here: TokenWorld) -> None:
    issued = here.issue(here.settle_in())
    again = here.signer.sign_token("default", issued.token.id)
    assert claims_in(again) == claims_in(issued.text)
    refused("unknown-token", lambda: here.signer.sign_token("acme", issued.token.id))


def test_a157_a_token_is_told_of_and_revoked_for_its_client_and_for_whom_it_is_and_nobody_else(
    here: TokenWorld,
) -> None:
    issued = here.issue(here.settle_in())
    known = here.verification.introspect(issued.text, client="agent:coder", audiences=())
    assert (known["active"], known["token_type"], known["jti"]) == (True, "DPoP", issued.token.id)
    assert here.verification.introspect(issued.text, client="service:x", audiences=[API])["active"] is True
    for text, client, audiences in (
        (issued.text, "agent:other", ["https://other.example/"]),
        (issued.text[:-1], "agent:coder", [API]),
        ("", "agent:coder", [API]),
    ):
        told = here.verification.introspect(text, client=client, audiences=audiences)
        assert told == {"active": False}
    refused(
        "token-of-another",
        lambda: here.verification.revoke(issued.text, client="agent:other", actor=ANN),
    )
    here.verification.revoke(issued.text[:-1], client="agent:coder", actor=ANN)
    here.verify(issued.text)
    for _ in range(2):
        here.verification.revoke(issued.text, client="agent:coder", actor=ANN)
    assert len(here.world.events("token-revoked")) == 1
    row = here.row(issued.token)
    assert row.revoked != NEVER
    with pytest.raises(DeniedError):
        here.verify(issued.text)
    told = here.verification.introspect(issued.text, client="agent:coder", audiences=())
    assert told == {"active": False}


def test_a_person_revokes_tokens_of_their_tasks_and_nobody_those_of_others(here: TokenWorld) -> None:
    issued = here.issue(here.settle_in())
    eve = replace(ANN, name="eve")
    refused(
        "not-in-charge",
        lambda: revoke_token(here.adapters, "default", issued.token.id, eve, owns=False, why="no"),
    )
    refused("unknown-token", lambda: revoke_token(here.adapters, "default", "tok_x", ANN, owns=False, why=""))
    done = revoke_token(here.adapters, "default", issued.token.id, ANN, owns=False, why="lost")
    assert done.why == "lost"
    second = revoke_token(here.adapters, "default", issued.token.id, eve, owns=True, why="again")
    assert second.why == "lost"


def test_i54_a_signer_whose_clock_is_late_signs_nothing_for_a_task_that_was_over_when_it_was_asked(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    late = here.world.clock.at
    here.world.clock.at = issued.token.issued + seconds(200)
    again = here.issue(here.world.start(seconds=300))
    ending = here.world.start(seconds=1)
    here.world.clock.at = late - seconds(3600)
    row = replace(again.token, id="tok_late", index=again.token.index ^ 1, task=ending.id)
    here.adapters.store.write(lambda tx: tx.tokens.insert(replace(row, issued=Instant(ending.deadline))))
    refused("task-expired", lambda: here.signer.sign_token("default", "tok_late"))


def test_rows_of_tokens_are_forgotten_a_day_after_their_end_and_none_before_while_the_log_keeps_them(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    text = here.issue(task).text
    here.world.clock.advance(300 + 86_399)
    here.world.start()  # a record of now: the clock begins at the last one
    assert sweep_tokens(here.adapters) == 0
    assert len(here.rows()) == 1
    here.world.clock.advance(2)
    assert sweep_tokens(here.adapters) == 0  # no record is from after it yet
    here.world.start()
    assert sweep_tokens(here.adapters) == 1
    assert here.rows() == ()
    assert len(here.world.events("token-issued")) == 1
    with pytest.raises(TokenExpiredError):
        here.verify(text)
    assert here.verification.introspect(text, client="agent:coder", audiences=()) == {"active": False}


def test_what_is_swept_is_in_no_list_that_lives(here: TokenWorld) -> None:
    token = here.issue(here.settle_in()).token
    here.world.clock.advance(300 + 86_400 + 1)
    here.world.start()
    assert not is_listed(token.list, here.world.clock.now())
    assert sweep_tokens(here.adapters) == 1


def test_i54_a_signer_whose_clock_is_ahead_signs_nothing_that_it_takes_for_over_and_that_is_said(
    here: TokenWorld,
) -> None:
    task = here.settle_in()
    ahead = WorldClock()
    ahead.at = Instant(here.world.clock.at + seconds(400))
    slow, here.signer.signer = (
        here.signer.signer,
        RowSigner(store=here.adapters.store, keys=here.folder, clock=ahead, issuer=ISSUER),
    )
    with pytest.raises(SignerUnavailableError, match="its clock is ahead of ours"):
        here.issue(task)
    (row,) = here.rows()
    assert state_of(row, here.world.clock.now()) is TokenState.REVOKED
    here.signer.signer = slow
    assert here.verify(here.issue(task).text).principal.name == "coder"
    ahead.at = Instant(here.world.clock.at + seconds(100))  # within the token's time nothing is wrong
    here.signer.signer = RowSigner(store=here.adapters.store, keys=here.folder, clock=ahead, issuer=ISSUER)
    assert here.verify(here.issue(task).text).principal.name == "coder"
