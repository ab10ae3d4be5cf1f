from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.agent import AgentKey
from taskbound.core.identity.issuer import IdentityIssuer, IssuerUse
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Selector, selector_id
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store


def selector(
    agent: str = "coder", *, namespace: str = SPACE, subject: str = "a", issuer: str = "github"
) -> Selector:
    return Selector(
        namespace=namespace,
        agent=agent,
        kind=WorkloadKind.OIDC,
        issuer=issuer,
        subjects=(subject,),
        claims=(("/ref", ("é", "main")), ("/repository", ("x",))),
    )


def write(store: Store, one: Selector) -> None:
    store.write(lambda tx: tx.workloads.put_selector(one))


def test_selectors_are_read_as_they_were_written_by_agent_and_of_one_namespace(store: Store) -> None:
    wanted = (
        selector("a", subject="1"),
        selector("b", subject="2", issuer="gitlab"),
        selector("b", subject="3"),
    )
    for one in (*reversed(wanted), selector("c", namespace=OTHER)):
        write(store, one)
    found = read(store, lambda seen: seen.workloads.selectors(SPACE))
    assert found == tuple(sorted(wanted, key=lambda one: (one.agent, selector_id(one))))
    assert store.write(lambda tx: tx.workloads.selectors(SPACE)) == found
    of = read(store, lambda seen: seen.workloads.selectors_of(SPACE, WorkloadKind.OIDC, "gitlab"))
    assert of == (wanted[1],)
    assert read(store, lambda seen: seen.workloads.selectors_of(SPACE, WorkloadKind.JWT_SVID, "gitlab")) == ()
    assert read(store, lambda seen: seen.workloads.selectors_of(OTHER, WorkloadKind.OIDC, "gitlab")) == ()


def test_what_one_selector_says_no_other_one_of_the_namespace_says(store: Store) -> None:
    store.write(lambda tx: tx.workloads.put_selector(selector("a")))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.workloads.put_selector(selector("b")))
    store.write(lambda tx: tx.workloads.put_selector(selector("b", namespace=OTHER)))
    assert read(store, lambda seen: seen.workloads.selectors(SPACE)) == (selector("a"),)


def test_a_selector_that_is_dropped_is_gone_and_another_agent_may_have_it(store: Store) -> None:
    store.write(lambda tx: tx.workloads.put_selector(selector("a")))
    store.write(lambda tx: tx.workloads.put_selector(selector("a", namespace=OTHER)))
    for _ in range(2):
        store.write(lambda tx: tx.workloads.drop_selector(SPACE, selector_id(selector())))
    assert read(store, lambda seen: seen.workloads.selectors(SPACE)) == ()
    assert len(read(store, lambda seen: seen.workloads.selectors(OTHER))) == 1
    store.write(lambda tx: tx.workloads.put_selector(selector("b")))
    assert read(store, lambda seen: seen.workloads.selectors(SPACE)) == (selector("b"),)


def key(kid: str = "k1", agent: str = "coder", *, namespace: str = SPACE, made: int = 1) -> AgentKey:
    return AgentKey(namespace=namespace, kid=kid, agent=agent, public=b"{}", made=Instant(made))


def put_key(store: Store, one: AgentKey) -> None:
    store.write(lambda tx: tx.workloads.put_agent_key(one))


def end_key(store: Store, kid: str, at: int) -> None:
    store.write(lambda tx: tx.workloads.end_agent_key(SPACE, kid, Instant(at)))


def test_keys_of_agents_are_read_as_they_were_written_by_agent_and_age_and_of_one_namespace(
    store: Store,
) -> None:
    put_key(store, key("k2", made=5))
    end_key(store, "k2", 7)
    for one in (key("k1", made=8), key("k0", "other"), key("k9", namespace=OTHER)):
        put_key(store, one)
    mine = (replace(key("k2", made=5), ended=Instant(7)), key("k1", made=8))
    assert read(store, lambda seen: seen.workloads.agent_keys(SPACE, "coder")) == mine
    assert read(store, lambda seen: seen.workloads.agent_keys(SPACE)) == (*mine, key("k0", "other"))
    assert store.write(lambda tx: tx.workloads.agent_keys(SPACE, "coder")) == mine
    assert read(store, lambda seen: seen.workloads.agent_key(SPACE, "k1")) == mine[1]
    assert read(store, lambda seen: seen.workloads.agent_key(SPACE, "k9")) is None


def test_an_agent_has_one_key_that_counts_and_each_id_is_one_key(store: Store) -> None:
    put_key(store, key("k1"))
    for other in (key("k2"), key("k1", "other")):
        with pytest.raises(ConflictError):
            put_key(store, other)
    put_key(store, key("k2", namespace=OTHER))
    end_key(store, "k1", 5)
    put_key(store, key("k2"))
    with pytest.raises(ConflictError):
        put_key(store, key("k1"))


def test_a_key_that_has_ended_has_ended_when_it_did(store: Store) -> None:
    put_key(store, key("k1"))
    end_key(store, "k1", 5)
    end_key(store, "k1", 9)
    end_key(store, "k7", 9)
    assert read(store, lambda seen: seen.workloads.agent_keys(SPACE)) == (
        replace(key("k1"), ended=Instant(5)),
    )


def issuer(
    name: str = "a", *, namespace: str = SPACE, own: str = "", use: IssuerUse = IssuerUse.WORKLOADS
) -> IdentityIssuer:
    return IdentityIssuer(
        namespace=namespace,
        name=name,
        issuer=own or f"https://example.com/{name}",
        audience="us",
        use=use,
        keys=b"{}",
        keys_at="https://keys.example.com",
        private=True,
    )


def put_issuer(store: Store, one: IdentityIssuer) -> None:
    store.write(lambda tx: tx.workloads.put_identity_issuer(one))


def test_issuers_of_identities_are_read_as_they_were_written_by_name_and_of_one_namespace(
    store: Store,
) -> None:
    plain = replace(issuer("b"), keys=b"", keys_at="", private=False)
    for one in (plain, issuer("a"), issuer("c", namespace=OTHER)):
        put_issuer(store, one)
    assert read(store, lambda seen: seen.workloads.identity_issuers(SPACE)) == (issuer("a"), plain)
    assert store.write(lambda tx: tx.workloads.identity_issuers(SPACE)) == (issuer("a"), plain)


def test_two_issuers_of_identities_share_no_name_and_for_one_use_not_what_they_write(store: Store) -> None:
    put_issuer(store, issuer("a", own="x"))
    for other in (issuer("a", own="y"), issuer("b", own="x")):
        with pytest.raises(ConflictError):
            put_issuer(store, other)
    put_issuer(store, issuer("b", own="x", use=IssuerUse.PEOPLE))
    put_issuer(store, issuer("a", own="x", namespace=OTHER))
    for _ in range(2):
        store.write(lambda tx: tx.workloads.drop_identity_issuer(SPACE, "a"))
    put_issuer(store, issuer("c", own="x"))
    found = read(store, lambda seen: seen.workloads.identity_issuers(SPACE))
    assert [one.name for one in found] == ["b", "c"]
    assert len(read(store, lambda seen: seen.workloads.identity_issuers(OTHER))) == 1
