from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import parse_object
from taskbound.core.clock import Instant
from taskbound.core.decision import Allowance
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.identity import InactiveAgentError, NotOwnerError, UnknownIdentityError, UnprovenError
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.proof import PrincipalKind, WorkloadKind, WorkloadProof
from taskbound.core.identity.selector import (
    Credential,
    Selector,
    SelectorOverlapError,
    Shown,
    UnknownSelectorError,
    UnselectedError,
    parse_selector,
    selector_id,
)
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import add_identity_issuer
from taskbound.flows.identity.agent import add_selector, drop_selector
from taskbound.flows.identity.person import IdentityExistsError
from taskbound.flows.identity.workload import Proofs
from taskbound.flows.means import Actor
from tests.tokens import es256
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.ports.store import Store

SPACE = "default"
CODES = ["not-json=4", "unselected=3"]
EVE = Actor(name="eve", proof="peer-uid:1001 (unproven)")
OWNER = Actor(name="uid:0", proof="peer-uid:0 (unproven)")


class Written:
    """Verifies credentials that are their own claims: whoever can write one has it."""

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        assert namespace
        said: dict[str, Any] = dict(parse_object(credential.raw))
        return Shown(
            kind=credential.kind,
            issuer="github",
            subject=said.pop("sub"),
            claims=said,
            until=Instant(now + 1),
        )


@pytest.fixture
def world(store: Store) -> World:
    made = World(store=store)
    register_person(made.adapters, SPACE, "ann", uid=1000, actor=ANN)
    register_person(made.adapters, SPACE, "eve", uid=1001, actor=ANN)
    made.add_agent("coder")
    made.add_agent("other")
    believe(made)
    return made


def believe(world: World) -> None:
    """Have an issuer named `github`, of which nothing is asked here."""
    keys = json.dumps({"keys": [es256("k1").members]}).encode()
    issuer = parse_identity_issuer(
        SPACE, "github", issuer="https://example.com", audience="", use="workloads", keys=keys
    )
    add_identity_issuer(world.adapters, issuer, actor=ANN, owns=True)


def selector(agent: str = "coder", *subjects: str, **claims: str) -> Selector:
    return parse_selector(
        SPACE,
        agent,
        kind="oidc",
        issuer="github",
        subjects=subjects,
        claims=[(f"/{name}", text) for name, text in claims.items()],
    )


def add(world: World, one: Selector, actor: Actor = ANN, *, owns: bool = False) -> str:
    return add_selector(world.adapters, one, actor=actor, owns=owns)


def proofs(world: World, **more: Any) -> Proofs:
    return Proofs(world.adapters, {WorkloadKind.OIDC: Written()}, **more)


def token(sub: str = "a", **claims: Any) -> Credential:
    return Credential(kind=WorkloadKind.OIDC, raw=json.dumps({"sub": sub, **claims}).encode())


def test_the_owner_says_what_proves_an_agent_and_takes_it_back_each_with_a_record(world: World) -> None:
    name = add(world, selector("coder", "a", ref="main"))
    (made,) = world.events("selector-added")
    assert (made["agent"], made["selector"], made["form"], made["issuer"]) == (
        "coder",
        name,
        "oidc",
        "github",
    )
    assert (made["subjects"], made["claims"], made["by"]) == (["a"], ["/ref=main"], "ann")
    drop_selector(world.adapters, SPACE, "coder", name, actor=ANN, owns=False)
    (gone,) = world.events("selector-removed")
    assert (gone["agent"], gone["selector"], gone["by"]) == ("coder", name, "ann")
    with pytest.raises(UnknownSelectorError):
        drop_selector(world.adapters, SPACE, "coder", name, actor=ANN, owns=False)


def test_nobody_else_says_what_proves_an_agent_but_who_owns_the_data_directory(world: World) -> None:
    with pytest.raises(NotOwnerError):
        add(world, selector("coder", "a"), EVE)
    name = add(world, selector("coder", "a"), OWNER, owns=True)
    with pytest.raises(NotOwnerError):
        drop_selector(world.adapters, SPACE, "coder", name, actor=EVE, owns=False)
    with pytest.raises(UnknownSelectorError):
        drop_selector(world.adapters, SPACE, "other", name, actor=ANN, owns=False)
    with pytest.raises(UnknownIdentityError):
        add(world, selector("nobody", "a"))
    with pytest.raises(IdentityExistsError):
        add(world, selector("coder", "a"))


def test_a_selector_that_meets_another_agents_is_refused_whoever_asks(world: World) -> None:
    add(world, selector("coder", "a"))
    for one in (selector("other", "a"), selector("other", "a", ref="main"), selector("other", ref="main")):
        with pytest.raises(SelectorOverlapError):
            add(world, one, OWNER, owns=True)
    add(world, selector("other", "b"))
    add(world, selector("coder", "a", ref="main"))


def test_of_two_daemons_that_add_meeting_selectors_at_once_one_is_refused(
    stores: tuple[Store, Store],
) -> None:
    first = World(store=stores[0])
    register_person(first.adapters, SPACE, "ann", uid=1000, actor=ANN)
    first.add_agent("coder")
    first.add_agent("other")
    believe(first)
    second = World(store=stores[1], clock=first.clock, chance=first.chance)
    for turn in range(8):
        barrier = threading.Barrier(2)
        ends: list[str] = []

        def run(world: World, one: Selector, barrier: threading.Barrier, ends: list[str]) -> None:
            barrier.wait()
            try:
                ends.append(add(world, one))
            except SelectorOverlapError as error:
                ends.append(error.code)

        wanted = (selector("coder", f"s{turn}"), selector("other", f"s{turn}", ref="main"))
        threads = [
            threading.Thread(target=run, args=(world, one, barrier, ends))
            for world, one in zip((first, second), wanted, strict=True)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert (len(ends), ends.count("selector-overlap")) == (2, 1)


def test_a_credential_proves_the_one_agent_that_it_selects(world: World) -> None:
    add(world, selector("coder", "a"))
    add(world, selector("other", "b"))
    found = proofs(world).prove(SPACE, token("b", ref="main"))
    assert (found.kind, found.namespace, found.name) == (PrincipalKind.AGENT, SPACE, "other")
    assert isinstance(found.proof, WorkloadProof)
    assert found.proof.words == "oidc:b by github"
    assert world.events("proof-refused") == []


def refused(world: World, credential: Credential, space: str = SPACE) -> tuple[str, list[dict[str, Any]]]:
    with pytest.raises(TaskboundError) as caught:
        proofs(world).prove(space, credential)
    return caught.value.code, world.events("proof-refused")


def test_each_credential_that_proves_nobody_leaves_one_record_without_a_part_of_it(world: World) -> None:
    add(world, selector("coder", "a"))
    shown = token("stranger")
    code, records = refused(world, shown)
    assert code == UnselectedError.code
    wanted = {"kind": "proof-refused", "form": "oidc", "code": code, "digest": shown.digest}
    assert records == [wanted]
    broken = Credential(kind=WorkloadKind.OIDC, raw=b'{"sub":"a","sub":"b"}')
    code, records = refused(world, broken)
    assert (code, len(records)) == ("duplicate-key", 2)
    unread = Credential(kind=WorkloadKind.KEY, raw=b"x")
    assert refused(world, unread)[0] == UnprovenError.code


def test_a_selector_of_one_namespace_selects_nothing_in_another(world: World) -> None:
    add(world, selector("coder", "a"))
    assert refused(world, token("a"), "acme")[0] == UnselectedError.code


def test_an_agent_that_is_suspended_proves_itself_in_vain_and_its_record_names_it(world: World) -> None:
    add(world, selector("coder", "a"))
    world.agents.suspend(SPACE, "coder", ANN, reason="")
    code, records = refused(world, token("a"))
    assert (code, records[-1]["agent"]) == (InactiveAgentError.code, "coder")


def test_refusals_beyond_the_allowance_are_counted_by_code_and_hinder_no_agent(world: World) -> None:
    add(world, selector("coder", "a"))
    asked = proofs(world, allowance=Allowance(burst=3, rate=1))
    for turn in range(10):
        with pytest.raises(MalformedError if turn % 2 else UnselectedError):
            asked.prove(SPACE, token("b") if turn % 2 == 0 else Credential(kind=WorkloadKind.OIDC, raw=b"["))
    assert asked.prove(SPACE, token("a")).name == "coder"
    assert len(world.events("proof-refused")) == 3
    asked.tell(final=True)
    asked.tell(final=True)
    (told,) = world.events("refusals-dropped")
    assert (told["agent"], told["count"], told["codes"]) == ("", 7, CODES)


def test_what_a_store_holds_of_two_agents_all_the_same_proves_neither(world: World) -> None:
    add(world, selector("coder", "a"))
    forced = selector("other", "a", ref="main")
    world.store.write(lambda tx: tx.workloads.put_selector(forced))
    assert refused(world, token("a", ref="main"))[0] == "selected-twice"
    assert selector_id(forced)
