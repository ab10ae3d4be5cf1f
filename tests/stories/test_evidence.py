from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.identity import NotOwnerError
from taskbound.core.identity.issuer import BadIssuerError, IssuerExistsError, UnknownIssuerError
from taskbound.core.task import Disowned, Lapsed, Proven, Signed, Stated, Ticket, evidence_text
from taskbound.flows.task import TaskOrder, add_issuer, drop_issuer, look_again
from tests.tokens import ISSUER, Signer, ed25519, es256
from tests.world import ANN, SCOPE, scope_of

if TYPE_CHECKING:
    from taskbound.core.task import Task, Verdict
    from tests.world import World

SPACE = "default"
FIRST, SECOND = es256("tickets-1"), ed25519("tickets-2")


def believe(world: World, *keys: Signer, name: str = "tickets", issuer: str = ISSUER) -> None:
    raw = json.dumps({"keys": [one.members for one in keys or (FIRST,)]}).encode()
    add_issuer(world.adapters, SPACE, name, issuer=issuer, audience="", keys=raw, actor=ANN, owns=True)


def doubt(world: World, name: str = "tickets", *, owns: bool = True) -> None:
    drop_issuer(world.adapters, SPACE, name, actor=ANN, owns=owns)


def token(world: World, by: Signer = FIRST, **claims: Any) -> str:
    now = world.clock.now() // 1_000_000
    return by.token(**{"iat": now, "exp": now + 600, **claims})


def start(world: World, *tokens: str, evidence: tuple[str, ...] = ()) -> Task:
    order = TaskOrder(
        namespace=SPACE,
        agent="coder",
        purpose="pay bills",
        seconds=3600,
        scope=scope_of(SCOPE),
        evidence=evidence,
        tokens=tokens,
    )
    return world.tasks.start(order, ANN)


def verdict(world: World, task: Task) -> Verdict:
    ((_, found),) = look_again(world.adapters, SPACE, task.id)
    return found


def test_what_a_task_rests_on_is_recorded_as_its_text_and_read_back_as_it_was(world: World) -> None:
    world.settle_in()
    believe(world)
    task = start(world, token(world), evidence=("ticket:jira:OPS-17", f"words:sha256:{'a' * 64}"))
    event = world.events("task-started")[-1]
    assert list(event["evidence"]) == [evidence_text(one) for one in task.evidence]
    with world.store.read() as snapshot:
        kept = snapshot.tasks.task(SPACE, task.id)
    assert kept is not None
    assert kept.evidence == task.evidence
    assert Ticket(system="jira", id="OPS-17") in kept.evidence
    found = look_again(world.adapters, SPACE, task.id)
    assert [type(one) for _, one in found] == [Stated, Stated, Proven]


def test_no_record_and_no_row_of_a_task_holds_the_token(world: World) -> None:
    world.settle_in()
    believe(world)
    text = token(world)
    task = start(world, text)
    signature = text.rpartition(".")[2]
    assert signature not in repr(world.events("task-started"))
    assert signature not in repr(task)
    (piece,) = task.evidence
    assert isinstance(piece, Signed)
    with world.store.read() as snapshot:
        assert snapshot.tasks.evidence(SPACE, piece.token) == text


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://example.com/other"}, "unknown-issuer"),
        ({"aud": "urn:taskbound:other"}, "token-audience"),
        ({"exp": 1}, "token-lifetime"),
        ({"iat": 1, "exp": 2}, "token-expired"),
        ({"typ": "JWT"}, "token-kind"),
        ({"header": {"kid": "tickets-9"}}, "token-key"),
        ({"header": {"alg": "none"}}, "token-algorithm"),
    ],
)
def test_a_task_rests_on_no_token_that_is_not_believed_and_leaves_nothing(
    world: World, claims: dict[str, Any], code: str
) -> None:
    world.settle_in()
    believe(world)
    before = len(world.events("task-started"))
    with pytest.raises(TaskboundError) as caught:
        start(world, token(world, **claims))
    assert caught.value.code == code
    assert len(world.events("task-started")) == before


def test_a_token_of_a_key_that_only_another_issuer_has_is_not_believed(world: World) -> None:
    world.settle_in()
    believe(world)
    believe(world, SECOND, name="others", issuer="https://example.com/others")
    with pytest.raises(TaskboundError) as caught:
        start(world, token(world, SECOND))
    assert caught.value.code == "token-key"
    start(world, token(world, SECOND, iss="https://example.com/others"))


def test_a_signed_word_lapses_at_its_end(world: World) -> None:
    world.settle_in()
    believe(world)
    task = start(world, token(world, exp=world.clock.now() // 1_000_000 + 600))
    assert isinstance(verdict(world, task), Proven)
    (piece,) = task.evidence
    assert isinstance(piece, Signed)
    world.clock.advance(598)
    assert isinstance(verdict(world, task), Proven)
    world.clock.advance(2)
    assert verdict(world, task) == Lapsed(since=piece.expires)


def test_a_signed_word_falls_with_its_issuer_and_comes_back_with_the_same_keys_only(world: World) -> None:
    world.settle_in()
    believe(world)
    task = start(world, token(world))
    doubt(world)
    assert isinstance(verdict(world, task), Disowned)
    believe(world, es256("tickets-1", seed=99))
    assert isinstance(verdict(world, task), Disowned)
    doubt(world)
    believe(world, issuer="https://example.com/renamed")
    assert isinstance(verdict(world, task), Disowned)
    doubt(world)
    believe(world)
    assert isinstance(verdict(world, task), Proven)


@pytest.mark.parametrize("what", ["another token", "no token"])
def test_a_piece_whose_token_says_something_else_or_is_gone_is_disowned(world: World, what: str) -> None:
    world.settle_in()
    believe(world)
    task = start(world, token(world))
    (piece,) = task.evidence
    (other,) = start(world, token(world, sub="OPS-18")).evidence
    assert isinstance(piece, Signed)
    assert isinstance(other, Signed)
    swapped = replace(piece, token=other.token if what == "another token" else "0" * 64)
    name = world.chance.name("tsk")
    forged = replace(task, id=name, root=name, evidence=(swapped,), version=1)
    world.store.write(lambda tx: tx.tasks.put_task(forged, expect=0))
    assert isinstance(verdict(world, forged), Disowned)


def test_an_issuer_that_is_removed_meanwhile_lets_no_task_start_on_its_word(world: World) -> None:
    world.settle_in()
    believe(world)
    text = token(world)
    world.meanwhile(lambda: doubt(world))
    with pytest.raises(UnknownIssuerError):
        start(world, text)
    world.meanwhile(lambda: believe(world))
    start(world, evidence=("ticket:jira:OPS-17",))


def test_only_the_account_that_owns_the_data_says_whose_word_counts(world: World) -> None:
    raw = json.dumps(FIRST.members).encode()
    with pytest.raises(NotOwnerError):
        add_issuer(
            world.adapters, SPACE, "tickets", issuer=ISSUER, audience="", keys=raw, actor=ANN, owns=False
        )
    believe(world)
    with pytest.raises(NotOwnerError):
        doubt(world, owns=False)
    assert len(world.events("issuer-added")) == 1
    assert not world.events("issuer-removed")


def test_no_two_issuers_share_a_name_or_write_themselves_alike(world: World) -> None:
    believe(world)
    with pytest.raises(IssuerExistsError):
        believe(world, issuer="https://example.com/more")
    with pytest.raises(IssuerExistsError):
        believe(world, name="more")
    believe(world, name="more", issuer="https://example.com/more")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"issuer": ""}, BadIssuerError),
        ({"issuer": "a b"}, BadIssuerError),
        ({"audience": "a\n"}, BadIssuerError),
        ({"name": "a.b"}, TaskboundError),
        ({"name": "x" * 40}, TaskboundError),
        ({"keys": b"{}"}, TaskboundError),
        ({"keys": json.dumps(FIRST.members | {"d": "AA"}).encode()}, TaskboundError),
    ],
)
def test_an_issuer_that_can_not_be_is_refused_and_leaves_nothing(
    world: World, changes: dict[str, Any], error: type[Exception]
) -> None:
    good: dict[str, Any] = {"name": "tickets", "issuer": ISSUER, "audience": ""}
    given = {**good, "keys": json.dumps(FIRST.members).encode(), **changes}
    with pytest.raises(error):
        add_issuer(world.adapters, SPACE, given.pop("name"), **given, actor=ANN, owns=True)
    assert not world.events("issuer-added")


def test_adding_and_removing_an_issuer_is_recorded_with_the_names_of_its_keys(world: World) -> None:
    believe(world, FIRST, SECOND)
    doubt(world)
    (added,), (removed,) = world.events("issuer-added"), world.events("issuer-removed")
    assert list(added["thumbprints"]) == [FIRST.jwk.thumbprint, SECOND.jwk.thumbprint]
    assert (added["audience"], removed["issuer"], removed["by"]) == ("urn:taskbound:default", ISSUER, "ann")
    with pytest.raises(UnknownIssuerError):
        doubt(world)


def test_a_child_rests_on_what_is_verified_like_its_parents_evidence(world: World) -> None:
    parent = world.settle_in()
    world.add_agent("helper")
    with pytest.raises(UnknownIssuerError):
        world.delegate(parent, tokens=(token(world),))
    believe(world)
    child = world.delegate(parent, tokens=(token(world),))
    assert isinstance(verdict(world, child), Proven)
    world.meanwhile(lambda: doubt(world))
    with pytest.raises(UnknownIssuerError):
        world.delegate(parent, tokens=(token(world, sub="OPS-18"),))
    assert isinstance(verdict(world, child), Disowned)
