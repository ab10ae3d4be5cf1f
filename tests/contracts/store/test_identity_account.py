from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity import Group
from taskbound.core.identity.issuer import Account, IdentityIssuer, IssuerUse
from taskbound.core.identity.person import Claimed
from taskbound.core.identity.sign_in import Session, SignIn
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction


def account(
    subject: str = "s1", *, issuer: str = "corp", namespace: str = SPACE, person: str = "ann"
) -> Account:
    return Account(
        namespace=namespace, issuer=issuer, subject=subject, person=person, linked=Instant(NOW), by="bob"
    )


def sign_in(
    state: str = "a",
    *,
    namespace: str = SPACE,
    begun: int = NOW,
    address: str = "::/64",
    issuer: str = "corp",
) -> SignIn:
    return SignIn(
        namespace=namespace,
        state=state,
        browser="b" * 64,
        issuer=issuer,
        begun=Instant(begun),
        address=address,
        back="/oauth/authorize?a=é",
        promised=True,
        max_age=0,
        acr="urn:phr",
    )


def session(name: str = "ses_1", *, namespace: str = SPACE, secret: str = "", began: int = NOW) -> Session:
    return Session(
        namespace=namespace,
        id=name,
        secret=secret or f"digest of {name}",
        person="ann",
        issuer="corp",
        subject="é",
        authenticated=Instant(NOW - 5),
        acr="pwd",
        began=Instant(began),
        until=Instant(began + 10),
    )


def put(store: Store, *rows: Account | SignIn | Session) -> None:
    def work(tx: Transaction) -> None:
        for row in rows:
            match row:
                case Account():
                    tx.accounts.put_account(row)
                case SignIn():
                    tx.accounts.put_sign_in(row)
                case Session():
                    tx.accounts.put_session(row)

    store.write(work)


def test_accounts_are_read_as_they_were_written_by_issuer_and_subject_and_of_one_namespace(
    store: Store,
) -> None:
    wanted = (account("é"), account("S1", issuer="other"), account("s1", issuer="other"))
    put(store, *reversed(wanted), account(namespace=OTHER))
    assert read(store, lambda seen: seen.accounts.accounts(SPACE)) == wanted
    assert store.write(lambda tx: tx.accounts.account(SPACE, "other", "s1")) == wanted[2]
    assert read(store, lambda seen: seen.accounts.account(SPACE, "corp", "s1")) is None
    assert read(store, lambda seen: seen.accounts.spaces()) == tuple(sorted({SPACE, OTHER}))


def test_an_account_is_one_persons_and_one_that_is_dropped_is_anybodys(store: Store) -> None:
    put(store, account(), account(namespace=OTHER))
    with pytest.raises(ConflictError):
        put(store, account(person="eve"))
    for _ in range(2):
        store.write(lambda tx: tx.accounts.drop_account(SPACE, "corp", "s1"))
    assert read(store, lambda seen: seen.accounts.accounts(OTHER)) == (account(namespace=OTHER),)
    put(store, account(person="eve"))
    assert read(store, lambda seen: seen.accounts.accounts(SPACE)) == (account(person="eve"),)


def test_a_sign_in_is_taken_once_as_it_was_written(store: Store) -> None:
    put(store, sign_in(), sign_in(namespace=OTHER))
    with pytest.raises(ConflictError):
        put(store, sign_in())
    assert store.write(lambda tx: tx.accounts.take_sign_in(SPACE, "a")) == sign_in()
    assert store.write(lambda tx: tx.accounts.take_sign_in(SPACE, "a")) is None
    assert store.write(lambda tx: tx.accounts.take_sign_in(OTHER, "a")) == sign_in(namespace=OTHER)


def test_sign_ins_are_counted_and_listed_by_address_the_oldest_first(store: Store) -> None:
    later, first = sign_in("a", begun=NOW + 1), sign_in("b")
    put(store, later, first, sign_in("c", address="10.0.0.1"), sign_in("d", namespace=OTHER))
    assert store.write(lambda tx: tx.accounts.sign_ins_of(SPACE, "::/64")) == (first, later)
    assert store.write(lambda tx: tx.accounts.count_sign_ins(SPACE)) == 3
    assert store.write(lambda tx: tx.accounts.sweep_sign_ins(Instant(NOW + 1), limit=2)) == 2
    assert store.write(lambda tx: tx.accounts.sweep_sign_ins(Instant(NOW + 1), limit=9)) == 1
    assert store.write(lambda tx: tx.accounts.sign_ins_of(SPACE, "::/64")) == (later,)


def test_those_that_wait_for_one_issuer_are_forgotten_together(store: Store) -> None:
    other, elsewhere = sign_in("b", issuer="other"), sign_in("c", namespace=OTHER)
    put(store, sign_in("a"), sign_in("d"), other, elsewhere)
    store.write(lambda tx: tx.accounts.drop_sign_ins(SPACE, "corp"))
    for _ in range(2):
        assert store.write(lambda tx: tx.accounts.count_sign_ins(SPACE)) == 1
        store.write(lambda tx: tx.accounts.drop_sign_ins(SPACE, "corp"))
    assert store.write(lambda tx: tx.accounts.take_sign_in(SPACE, "b")) == other
    assert store.write(lambda tx: tx.accounts.take_sign_in(OTHER, "c")) == elsewhere


def test_sessions_are_found_by_their_secrets_digest_and_listed_the_oldest_first(store: Store) -> None:
    later, first = session("ses_1", began=NOW + 1), session("ses_2")
    put(store, later, first, session(namespace=OTHER, secret="x"))
    assert read(store, lambda seen: seen.accounts.sessions(SPACE)) == (first, later)
    assert read(store, lambda seen: seen.accounts.session(SPACE, first.secret)) == first
    assert read(store, lambda seen: seen.accounts.session(SPACE, "x")) is None
    with store.read() as seen:
        assert seen.accounts.session_until(SPACE, "ses_2", first.person) == first.until
        assert seen.accounts.session_until(SPACE, "ses_2", "nobody") == 0
        assert seen.accounts.session_until("none", "ses_2", first.person) == 0
    for other in (session("ses_1", secret="y"), session("ses_3", secret=first.secret)):
        with pytest.raises(ConflictError):
            put(store, other)
    for _ in range(2):
        store.write(lambda tx: tx.accounts.drop_session(SPACE, "ses_2"))
    assert read(store, lambda seen: seen.accounts.session(SPACE, first.secret)) is None
    assert store.write(lambda tx: tx.accounts.sweep_sessions(Instant(NOW + 11), limit=9)) == 1
    assert read(store, lambda seen: seen.accounts.sessions(SPACE)) == (later,)


def test_who_is_a_member_by_claim_stands_beside_those_whom_a_person_named(store: Store) -> None:
    claimed = (
        Claimed(person="ann", issuer="corp", until=Instant(NOW)),
        Claimed(person="eve", issuer="corp", until=Instant(NOW + 1)),
    )
    group = Group(namespace=SPACE, name="ops", members=("ann", "bob"), claimed=claimed)
    store.write(lambda tx: tx.identities.put_group(group, expect=0))
    assert read(store, lambda seen: seen.identities.groups(SPACE)) == (group,)
    assert group.everyone == ("ann", "bob", "eve")
    without = replace(group, claimed=(), version=2)
    store.write(lambda tx: tx.identities.put_group(without, expect=1))
    assert store.write(lambda tx: tx.identities.lock_grantors(SPACE))[1] == (without,)


def test_an_issuer_of_people_keeps_its_secrets_place_and_what_its_claim_means(store: Store) -> None:
    issuer = IdentityIssuer(
        namespace=SPACE,
        name="corp",
        issuer="https://idp.example.com",
        audience="us",
        use=IssuerUse.PEOPLE,
        token_at="https://token.example.com",
        secret_file="/etc/taskbound/corp",
        groups_at="/groups",
        groups=(("Ö", "ops"), ("a", "dev")),
    )
    store.write(lambda tx: tx.workloads.put_identity_issuer(issuer))
    assert read(store, lambda seen: seen.workloads.identity_issuers(SPACE)) == (issuer,)
