from __future__ import annotations

from dataclasses import replace
from functools import partial
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import seconds
from taskbound.core.decision import Allowance
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import PersonState, UnknownIdentityError
from taskbound.core.identity.issuer import (
    AccountTakenError,
    BadSubjectError,
    IssuerInUseError,
    UnknownAccountError,
    UnknownIdentityIssuerError,
)
from taskbound.core.identity.sign_in import (
    LASTS,
    OF_ONE,
    TOGETHER,
    WAITS,
    BadReturnError,
    NotFreshError,
    NotSignedInError,
    NotStrongError,
    SignInReturn,
    SignInTokenError,
    TooManySignInsError,
    place_of,
)
from taskbound.flows.identity.account import drop_identity_issuer, end_session, link_account
from taskbound.flows.identity.leaving import NotSelfError, People
from taskbound.flows.identity.sign_in import SignIns, sweep_sign_ins
from tests.sqlite import sqlite_store
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.ports.identity import AuthorizationParameters
    from taskbound.ports.store import Store, Transaction

from tests.stories.signing import BOB, HERE, ORIGIN, SPACE, Lobby, shown


@pytest.fixture
def lobby(store: Store) -> Lobby:
    return Lobby(store)


@pytest.fixture
def plain() -> Lobby:
    """On SQLite only: what it reads and refuses is no matter of the engine."""
    return Lobby(sqlite_store())


def test_who_comes_back_from_their_issuer_is_the_person_whose_account_it_is(lobby: Lobby) -> None:
    entered = lobby.enter(at=1_700_000_000_000_000, acr="urn:two")
    found = lobby.person(entered)
    assert (found.actor.name, found.namespace, found.acr) == ("ann", SPACE, "urn:two")
    assert found.authenticated == 1_700_000_000_000_000
    assert found.actor.proof == found.proof.words == "account:s-ann by corp"
    (record,) = lobby.world.events("person-signed-in")
    assert (record["session"], record["address"]) == (found.session, HERE)
    assert entered.secret.partition(".")[2] not in str(lobby.world.records())


def test_rows_that_wait_finish_no_sign_in(lobby: Lobby) -> None:
    state, secret = lobby.begin()
    with lobby.world.store.read() as seen:
        (row,) = lobby.world.store.write(lambda tx: tx.accounts.sign_ins_of(SPACE, HERE))
        assert seen.accounts.sessions(SPACE) == ()
    told = str(row)
    wanted = lobby.corp.asked[state]
    for one in (state, secret, wanted.nonce, wanted.challenge):
        assert one not in told


def test_of_all_who_bring_one_answer_at_once_to_two_daemons_one_is_signed_in(
    stores: tuple[Store, Store],
) -> None:
    lobby = Lobby(stores[0])
    first = lobby.world
    second = World(store=stores[1], policy=first.policy, clock=first.clock, chance=first.chance)
    others = [SignIns(one.adapters, lobby.corp, origin=ORIGIN) for one in (first, second)]
    state, secret = lobby.begin()
    brought = SignInReturn(issuer="corp", code=lobby.corp.let_in(state), iss="https://corp.example")
    ready, found = Barrier(2), []

    def bring(one: SignIns) -> None:
        ready.wait()
        try:
            found.append(one.prove(state, brought, secret, address=HERE).issuer.name)
        except TaskboundError as error:
            found.append(error.code)

    threads = [Thread(target=bring, args=(one,)) for one in others]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == ["corp", "unknown-sign-in"]


def test_an_answer_that_took_too_long_signs_nobody_in(plain: Lobby) -> None:
    state, secret = plain.begin()
    plain.world.clock.advance(WAITS / 1_000_000)
    with pytest.raises(DeniedError) as caught:
        plain.come_back(state, secret, plain.corp.let_in(state))
    assert caught.value.code == "unknown-sign-in"
    assert plain.codes() == ["unknown-sign-in"]


@pytest.mark.parametrize("secret", ["", "0" * 43, "another"])
def test_another_browser_signs_nobody_in_and_its_answer_is_used_up(plain: Lobby, secret: str) -> None:
    state, own = plain.begin()
    code = plain.corp.let_in(state)
    with pytest.raises(DeniedError) as caught:
        plain.come_back(state, secret, code)
    assert caught.value.code == "sign-in-elsewhere"
    with pytest.raises(DeniedError):
        plain.come_back(state, own, code)
    assert plain.codes() == ["sign-in-elsewhere", "unknown-sign-in"]


def test_the_nonce_of_another_sign_in_signs_nobody_in(plain: Lobby) -> None:
    state, secret = plain.begin()
    with pytest.raises(SignInTokenError):
        plain.come_back(state, secret, plain.corp.let_in(state, nonce="another"))
    assert plain.codes() == ["sign-in-token"]


@pytest.mark.parametrize("iss", ["", "https://evil.example"])
def test_where_an_issuer_promises_to_say_who_it_is_it_has_to(plain: Lobby, iss: str) -> None:
    state, secret = plain.begin()
    brought = SignInReturn(issuer="corp", code=plain.corp.let_in(state), iss=iss)
    with pytest.raises(DeniedError) as caught:
        plain.sign_ins.prove(state, brought, secret, address=HERE)
    assert caught.value.code == "sign-in-another-issuer"
    assert len(plain.corp.codes) == 1


def test_an_issuer_that_promises_nothing_may_say_nothing_and_says_nothing_wrong(plain: Lobby) -> None:
    plain.corp.promises = False
    state, secret = plain.begin()
    plain.sign_ins.prove(
        state, SignInReturn(issuer="corp", code=plain.corp.let_in(state)), secret, address=HERE
    )
    state, secret = plain.begin()
    wrong = SignInReturn(issuer="corp", code=plain.corp.let_in(state), iss="https://evil.example")
    with pytest.raises(DeniedError):
        plain.sign_ins.prove(state, wrong, secret, address=HERE)


@pytest.mark.parametrize(
    ("wants", "said", "error"),
    [
        ({"max_age": 60}, {}, NotFreshError),
        ({"max_age": 60}, {"ago": 91}, NotFreshError),
        ({"max_age": 60}, {"ago": 89}, None),
        ({"max_age": 0}, {"ago": 31}, NotFreshError),
        ({}, {"ago": -31}, SignInTokenError),
        ({"acr": "urn:two"}, {}, NotStrongError),
        ({"acr": "urn:two"}, {"acr": "urn:three"}, NotStrongError),
        ({"acr": "urn:two"}, {"acr": "urn:two"}, None),
    ],
)
def test_what_was_wanted_of_a_sign_in_is_so_or_nobody_is_signed_in(
    plain: Lobby, wants: dict[str, Any], said: dict[str, Any], error: type[DeniedError] | None
) -> None:
    more = dict(said)
    if "ago" in more:
        more["at"] = plain.world.clock.now() - seconds(more.pop("ago"))
    if error is None:
        plain.enter(wants=wants, **more)
        return
    with pytest.raises(error):
        plain.enter(wants=wants, **more)
    assert plain.codes() == [error.code]


@pytest.mark.parametrize(
    "more", [{"max_age": -2}, {"max_age": 31_536_001}, {"acr": "a b"}, {"acr": "a" * 201}]
)
def test_what_can_not_be_wanted_begins_nothing(plain: Lobby, more: dict[str, Any]) -> None:
    with pytest.raises(BadReturnError):
        plain.begin(**more)
    assert plain.corp.asked == {}


def test_an_account_is_linked_by_hand_by_who_owns_the_data_directory_alone(lobby: Lobby) -> None:
    with pytest.raises(NotSelfError):
        lobby.link("bob", "s-bob", actor=BOB, owns=False)
    with pytest.raises(UnknownAccountError):
        lobby.enter("s-bob", email="bob@example.com", preferred_username="bob", email_verified=True)
    assert lobby.world.events("sign-in-refused")[-1]["subject"] == "s-bob"
    with pytest.raises(AccountTakenError):
        lobby.link("bob", "s-ann")
    with pytest.raises(UnknownIdentityError):
        lobby.link("carl", "s-carl")
    with pytest.raises(BadSubjectError):
        lobby.link("bob", "")
    lobby.link("bob", "s-bob")
    assert lobby.person(lobby.enter("s-bob")).actor.name == "bob"
    for near in ("S-bob", "s-bob ", "s-bo"):
        with pytest.raises(UnknownAccountError):
            lobby.enter(near)
    assert [one["subject"] for one in lobby.world.events("account-linked")] == ["s-ann", "s-bob"]


def test_only_an_issuer_of_people_has_accounts_and_with_them_it_stays(lobby: Lobby) -> None:
    lobby.add("jobs", use="workloads", audience="")
    with pytest.raises(UnknownIdentityIssuerError):
        link_account(lobby.world.adapters, SPACE, "ann", issuer="jobs", subject="s", actor=ANN, owns=True)
    with pytest.raises(UnknownIdentityIssuerError):
        lobby.sign_ins.begin(SPACE, "jobs", back="/sign-in", address=HERE)
    assert [one.name for one in lobby.sign_ins.choices(SPACE)] == ["corp"]
    with pytest.raises(IssuerInUseError):
        drop_identity_issuer(lobby.world.adapters, SPACE, "corp", actor=ANN, owns=True)
    lobby.unlink()
    drop_identity_issuer(lobby.world.adapters, SPACE, "corp", actor=ANN, owns=True)


def test_an_issuer_that_was_changed_while_it_was_asked_signs_nobody_in(lobby: Lobby) -> None:
    state, secret = lobby.begin()
    brought = SignInReturn(issuer="corp", code=lobby.corp.let_in(state), iss="https://corp.example")
    proven = lobby.sign_ins.prove(state, brought, secret, address=HERE)
    changed = replace(proven.issuer, audience="them")
    lobby.world.store.write(lambda tx: tx.workloads.drop_identity_issuer(SPACE, "corp"))
    lobby.world.store.write(lambda tx: tx.workloads.put_identity_issuer(changed))
    with pytest.raises(UnknownIdentityIssuerError):
        lobby.sign_ins.enter(proven, address=HERE)


def test_a_session_ends_with_its_time_its_account_its_person_or_when_somebody_says_so(lobby: Lobby) -> None:
    entered = lobby.enter()
    lobby.world.clock.advance(LASTS / 1_000_000 - 1)
    lobby.person(entered)
    lobby.world.clock.advance(1)
    lobby.out(entered)

    entered = lobby.enter()
    sweep_sign_ins(lobby.world.adapters)
    lobby.sign_ins.sign_out(shown(entered.secret))
    lobby.sign_ins.sign_out(shown(entered.secret))
    lobby.out(entered)

    entered = lobby.enter()
    with pytest.raises(NotSelfError):
        end_session(lobby.world.adapters, SPACE, entered.session.id, actor=BOB, owns=False)
    end_session(lobby.world.adapters, SPACE, entered.session.id, actor=ANN, owns=False)
    lobby.out(entered)

    entered = lobby.enter()
    with pytest.raises(NotSelfError):
        lobby.unlink(actor=BOB, owns=False)
    lobby.unlink(owns=False)
    lobby.out(entered)
    lobby.link("ann", "s-ann")
    lobby.out(entered)

    lobby.link("bob", "s-bob")
    entered = lobby.enter("s-bob")
    people = People(lobby.world.adapters, lobby.world.views)
    people.leave(SPACE, "bob", BOB, owns=False, reason="")
    lobby.out(entered)
    people.come_back(SPACE, "bob", ANN, owns=True)
    lobby.out(entered)
    with pytest.raises(UnknownAccountError):
        lobby.enter("s-bob")  # the account went as well
    assert len(lobby.world.events("session-ended")) == 4
    assert [one["person"] for one in lobby.world.events("account-unlinked")] == ["ann", "bob"]


@pytest.mark.parametrize("what", ["account", "other", "issuer", "person"])
def test_a_session_that_something_forgot_to_end_is_nobodys_once_what_it_rests_on_is_gone(
    plain: Lobby, what: str
) -> None:
    entered = plain.enter()

    def work(tx: Transaction) -> None:
        account = tx.accounts.account(SPACE, "corp", "s-ann")
        person = tx.identities.person(SPACE, "ann")
        assert account is not None
        assert person is not None
        match what:
            case "account":
                tx.accounts.drop_account(SPACE, "corp", "s-ann")
            case "other":
                tx.accounts.drop_account(SPACE, "corp", "s-ann")
                tx.accounts.put_account(replace(account, person="bob"))
            case "issuer":
                tx.workloads.drop_identity_issuer(SPACE, "corp")
            case _:
                gone = replace(person, state=PersonState.GONE, version=person.version + 1)
                tx.identities.put_person(gone, expect=person.version)

    plain.person(entered)
    plain.world.store.write(work)
    plain.out(entered)


def test_what_waits_for_an_issuer_goes_with_it_and_is_not_brought_to_another_of_its_name(
    lobby: Lobby,
) -> None:
    lobby.corp.promises = False
    state, secret = lobby.begin()
    code = lobby.corp.let_in(state)
    lobby.unlink()
    drop_identity_issuer(lobby.world.adapters, SPACE, "corp", actor=ANN, owns=True)
    lobby.add("corp", issuer="https://evil.example")
    lobby.link("ann", "s-ann")
    with pytest.raises(DeniedError) as caught:
        lobby.sign_ins.prove(state, SignInReturn(issuer="corp", code=code), secret, address=HERE)
    assert caught.value.code == "unknown-sign-in"
    assert len(lobby.corp.codes) == 1


def test_no_sign_in_waits_for_an_issuer_that_was_changed_while_it_was_looked_at(plain: Lobby) -> None:
    asked = plain.corp.address

    def meanwhile(issuer: IdentityIssuer, wanted: AuthorizationParameters, now: Instant) -> tuple[str, bool]:
        plain.unlink()
        drop_identity_issuer(plain.world.adapters, SPACE, "corp", actor=ANN, owns=True)
        plain.add("corp", issuer="https://evil.example")
        return asked(issuer, wanted, now)

    plain.corp.address = meanwhile  # type: ignore[method-assign] # an issuer that takes its time
    with pytest.raises(UnknownIdentityIssuerError):
        plain.begin()
    assert plain.world.store.write(lambda tx: tx.accounts.count_sign_ins(SPACE)) == 0


def test_what_a_browser_held_before_it_signed_in_anew_is_nobodys(lobby: Lobby) -> None:
    first, other = lobby.enter(), lobby.enter()
    state, secret = lobby.begin()
    brought = SignInReturn(issuer="corp", code=lobby.corp.let_in(state), iss="https://corp.example")
    proven = lobby.sign_ins.prove(state, brought, secret, address=HERE)
    anew = lobby.sign_ins.enter(proven, address=HERE, before=shown(first.secret))
    lobby.out(first)
    assert lobby.person(other).session != lobby.person(anew).session
    (ended,) = lobby.world.events("session-ended")
    assert (ended["session"], ended["reason"]) == (first.session.id, "signed in anew")


def test_who_has_left_while_their_issuer_was_asked_is_not_signed_in(lobby: Lobby) -> None:
    lobby.link("bob", "s-bob")
    state, secret = lobby.begin()
    brought = SignInReturn(issuer="corp", code=lobby.corp.let_in(state, "s-bob"), iss="https://corp.example")
    proven = lobby.sign_ins.prove(state, brought, secret, address=HERE)
    People(lobby.world.adapters, lobby.world.views).leave(SPACE, "bob", BOB, owns=False, reason="")
    with pytest.raises(UnknownAccountError):
        lobby.sign_ins.enter(proven, address=HERE)
    assert lobby.codes() == ["unknown-account"]


@pytest.mark.parametrize("browser", ["", "default.", "x", "default." + "0" * 43, "other." + "0" * 43, "."])
def test_what_is_no_session_is_nobodys(plain: Lobby, browser: str) -> None:
    plain.enter()
    with pytest.raises(NotSignedInError):
        plain.sign_ins.person(shown(browser))
    with pytest.raises(NotSignedInError):
        plain.sign_ins.person(None)


def test_a_session_of_one_namespace_is_nobodys_in_another(plain: Lobby) -> None:
    entered = plain.enter()
    with pytest.raises(NotSignedInError):
        plain.sign_ins.person(shown(f"other.{entered.secret.partition('.')[2]}"))


def test_a_person_has_so_many_sessions_and_the_oldest_gives_way(lobby: Lobby) -> None:
    entered = [lobby.enter() for _ in range(33)]
    lobby.out(entered[0])
    for one in entered[1:]:
        lobby.person(one)
    assert len(lobby.world.events("session-ended")) == 1


def test_so_many_sign_ins_of_one_address_wait_and_its_oldest_gives_way(lobby: Lobby) -> None:
    first, secret = lobby.begin()
    other, own = lobby.begin(address="2001:db8::1")
    for _ in range(OF_ONE):
        lobby.begin()
    with pytest.raises(DeniedError):
        lobby.come_back(first, secret, lobby.corp.let_in(first))
    lobby.come_back(other, own, lobby.corp.let_in(other))


def test_so_many_sign_ins_wait_in_all_until_their_time_is_over(lobby: Lobby) -> None:
    def fill(tx: Any) -> None:
        state, _ = "", ""
        row = tx.accounts.sign_ins_of(SPACE, HERE)[0]
        for number in range(TOGETHER - 1):
            state = f"{number:064x}"
            tx.accounts.put_sign_in(replace(row, state=state, address=f"10.0.{number >> 8}.{number & 255}"))

    lobby.begin()
    lobby.world.store.write(fill)
    with pytest.raises(TooManySignInsError):
        lobby.begin(address="198.51.100.1")
    lobby.world.clock.advance(WAITS / 1_000_000 + 1)
    lobby.link("ann", "another")  # the log's own time has passed as well
    sweep_sign_ins(lobby.world.adapters)
    sweep_sign_ins(lobby.world.adapters)
    lobby.begin(address="198.51.100.1")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("nowhere", ""),
    ],
)
def test_an_address_counts_as_the_network_that_one_machine_has(address: str, place: str) -> None:
    assert place_of(address) == place


def test_refusals_beyond_their_allowance_are_counted_and_told_at_the_end_of_the_window(store: Store) -> None:
    lobby = Lobby(store, allowance=Allowance(burst=2, rate=1))
    for _ in range(5):
        with pytest.raises(TaskboundError):
            lobby.sign_ins.prove("x", SignInReturn(issuer="corp"), "", address=HERE)
    assert lobby.codes() == ["unknown-sign-in"] * 2
    lobby.sign_ins.tell(final=True)
    assert lobby.world.events("refusals-dropped")[-1]["count"] == 3


def test_each_refused_beginning_is_one_record_until_its_allowance_is_used_up() -> None:
    plain = Lobby(sqlite_store(), allowance=Allowance(burst=3, rate=1))
    begin = partial(plain.sign_ins.begin, back="/sign-in", address=HERE)
    for issuer, more in (("corp", {"back": "//evil"}), ("corp", {"max_age": -2}), ("nobody", {})):
        with pytest.raises(TaskboundError):
            begin(SPACE, issuer, **more)
    with pytest.raises(TaskboundError):
        begin("elsewhere", "corp")
    found = [one for one in plain.world.records() if one["event"]["kind"] == "sign-in-refused"]
    assert [(one["namespace"], one["event"]["issuer"], one["event"]["code"]) for one in found] == [
        (SPACE, "corp", "bad-sign-in"),
        (SPACE, "corp", "bad-sign-in"),
        (SPACE, "", "unknown-identity-issuer"),
    ]
    assert "nobody" not in str(found)
    plain.sign_ins.tell(final=True)
    assert plain.world.events("refusals-dropped")[-1]["count"] == 1


def test_who_makes_an_answer_up_chooses_no_namespace_whose_log_has_it(plain: Lobby) -> None:
    with pytest.raises(TaskboundError):
        plain.sign_ins.prove(f"elsewhere.{'0' * 43}", SignInReturn(issuer="corp"), "", address=HERE)
    (found,) = [one for one in plain.world.records() if one["event"]["kind"] == "sign-in-refused"]
    assert found["namespace"] == SPACE
