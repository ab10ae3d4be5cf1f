from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.errors import DeniedError
from taskbound.core.identity import PersonState, UnknownIdentityError
from taskbound.core.identity.person_key import (
    COOLING,
    BadSignatureError,
    Custody,
    ExposedPersonKeyError,
    KeyFile,
    NotStandingError,
    PersonKeyState,
    RequiredVouchers,
    UnvouchedError,
    require_standing,
)
from taskbound.core.transition import WrongStateError
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.enrollment import Enrollments, TooManyKeysError
from taskbound.flows.identity.person import (
    IdentityExistsError,
    NotDemoError,
    NotKeyHolderError,
    UnknownKeyError,
    require_signed,
    set_demo,
    withdraw,
)
from taskbound.ports.store import ConflictError
from tests.peers.openssh import Device, string
from tests.peers.people import OWNER, actor_of, enrolled, propose, proven
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import PersonKey
    from tests.world import World

DAY = 24 * 3600
BARE = KeyFile(encrypted=False, mode=0o600, uid=1000)
SOFT = "ssh-ed25519 " + b64encode(string("ssh-ed25519") + string(bytes([9]) + bytes(31))).decode()


def people(world: World) -> None:
    for uid, name in enumerate(("ann", "bob", "carl"), start=1000):
        register_person(world.adapters, "default", name, uid=uid, actor=ANN)


def pair(world: World) -> tuple[tuple[PersonKey, Device], tuple[PersonKey, Device]]:
    """Ann's key, which is the first, and bob's, for which she vouched, both old enough to count."""
    people(world)
    ann, bob = Device(), Device(kind="ecdsa")
    first = enrolled(world, "ann", ann)
    second = enrolled(world, "bob", bob, voucher=(first, ann))
    world.clock.advance(DAY)
    return (key_now(world, first), ann), (second, bob)


def key_now(world: World, key: PersonKey) -> PersonKey:
    with world.store.read() as snapshot:
        found = snapshot.identities.person_key(key.namespace, key.id)
    assert found is not None
    return found


def take(world: World, key: PersonKey, statement: bytes, signature: bytes) -> PersonKey:
    return world.store.write(
        lambda tx: require_signed(
            tx,
            world.adapters.signatures,
            key_now(world, key),
            statement,
            signature,
            now=world.clock.now(),
        )
    )


def test_the_first_key_is_enrolled_by_its_own_signature_and_counts_at_once(world: World) -> None:
    people(world)
    device = Device()
    key = enrolled(world, "ann", device)
    assert (key.state, key.enrolled_by, key.usable_from) == (PersonKeyState.ENROLLED, "first", key.enrolled)
    take(world, key, b"pay", device.sign(b"pay"))
    events = world.events("person-key-changed")
    assert [(one["before"], one["after"], one["person"]) for one in events] == [
        ("", "proposed", "ann"),
        ("proposed", "proven", "ann"),
        ("proven", "enrolled", "ann"),
    ]
    assert events[-1]["fingerprint"] == key.fingerprint


def test_the_second_person_needs_the_first_ones_signature_and_a_day(world: World) -> None:
    people(world)
    ann, bob = Device(), Device()
    first = enrolled(world, "ann", ann)
    waiting = proven(world, "bob", bob)
    assert (waiting.key.state, waiting.vouching, waiting.can) == (
        PersonKeyState.PROVEN,
        RequiredVouchers.ANOTHER,
        ("ann",),
    )
    with pytest.raises(NotStandingError, match="is proven"):
        take(world, waiting.key, b"pay", bob.sign(b"pay"))
    second = enrolled(world, "bob", bob, voucher=(first, ann))
    assert (second.state, second.enrolled_by) == (PersonKeyState.ENROLLED, "ann")
    with pytest.raises(NotStandingError, match="too lately"):
        take(world, second, b"pay", bob.sign(b"pay"))
    world.clock.advance(DAY - 60)
    with pytest.raises(NotStandingError, match="too lately"):
        take(world, second, b"pay", bob.sign(b"pay"))
    world.clock.advance(60)
    take(world, second, b"pay", bob.sign(b"pay"))
    assert world.events("person-key-changed")[-1]["voucher"] == first.id


def test_a_clock_that_is_set_back_shortens_no_cooling(world: World) -> None:
    (first, ann), _ = pair(world)
    third = enrolled(world, "carl", Device(), voucher=(first, ann))
    world.clock.at -= 10 * COOLING
    with world.store.read() as snapshot, pytest.raises(NotStandingError, match="too lately"):
        require_standing(third, snapshot.identities.persons("default"), world.clock.now())


def test_a_key_is_enrolled_only_by_its_own_signature_over_its_own_statement(world: World) -> None:
    people(world)
    device, other = Device(), Device()
    progress = propose(world, "ann", device)
    again = propose(world, "ann", Device())
    for signature in (
        b"",
        other.sign(progress.statement),
        device.sign(again.statement),
        device.sign(progress.statement + b"\n"),
        device.sign(progress.statement)[:-40],
    ):
        with pytest.raises(BadSignatureError):
            Enrollments(world.adapters).prove("default", progress.key.id, signature, ANN, owns=False)
    assert {one.state for one in keys(world)} == {PersonKeyState.PROPOSED}


@pytest.mark.parametrize(
    "voucher", ["stranger", "own", "cooling", "withdrawn", "gone", "another statement", "none"]
)
def test_nobody_vouches_but_who_has_to(world: World, voucher: str) -> None:
    (first, ann), (second, bob) = pair(world)
    device = Device()
    waiting = proven(world, "carl", device)
    key, signer, statement = first, ann, waiting.statement
    if voucher == "stranger":
        signer = Device()
    elif voucher == "own":
        key, signer = waiting.key, device
    elif voucher == "cooling":
        signer = Device()
        key = enrolled(world, "ann", signer, voucher=(second, bob))
    elif voucher == "withdrawn":
        withdraw(world.adapters, "default", first.id, ANN, owns=False, reason="lost")
    elif voucher == "gone":
        with world.store.read() as snapshot:
            person = snapshot.identities.persons("default")["ann"]
        gone = replace(person, state=PersonState.GONE, version=person.version + 1)
        world.store.write(lambda tx: tx.identities.put_person(gone, expect=person.version))
    elif voucher == "another statement":
        statement = propose(world, "carl", Device()).statement
    signature = signer.sign(statement)
    with pytest.raises(DeniedError) as refused:
        Enrollments(world.adapters).vouch(
            "default",
            waiting.key.id,
            voucher="" if voucher == "none" else key.id,
            signature=signature,
            actor=ANN,
            owns=True,
        )
    assert refused.value.code in {"bad-signature", "unvouched", "key-not-standing", "unknown-key"}
    assert key_now(world, waiting.key).state is PersonKeyState.PROVEN


def test_whoever_has_a_key_does_not_vouch_for_their_next_one_where_another_human_can(world: World) -> None:
    (first, ann), _ = pair(world)
    link_persons(world.adapters, "default", "ann", "carl", linked=True, actor=OWNER, owns=True)
    for person in ("ann", "carl"):
        waiting = proven(world, person, Device())
        assert waiting.can == ("bob",)
        with pytest.raises(UnvouchedError):
            Enrollments(world.adapters).vouch(
                "default",
                waiting.key.id,
                voucher=first.id,
                signature=ann.sign(waiting.statement),
                actor=ANN,
                owns=True,
            )


def test_where_only_oneself_has_a_key_that_one_vouches_for_the_next(world: World) -> None:
    people(world)
    old, new = Device(), Device()
    first = enrolled(world, "ann", old)
    waiting = proven(world, "ann", new)
    assert (waiting.key.state, waiting.vouching) == (PersonKeyState.PROVEN, RequiredVouchers.OWN)
    done = enrolled(world, "ann", Device(), voucher=(first, old))
    assert done.usable_from == done.enrolled + COOLING


def test_an_account_of_the_same_human_is_no_second_person(world: World) -> None:
    people(world)
    device = Device()
    enrolled(world, "bob", device)
    link_persons(world.adapters, "default", "bob", "carl", linked=True, actor=OWNER, owns=True)
    assert proven(world, "carl", Device()).vouching is RequiredVouchers.OWN
    assert proven(world, "ann", Device()).vouching is RequiredVouchers.ANOTHER


def test_where_no_key_counts_any_more_the_owner_of_the_data_vouches_and_the_key_cools(world: World) -> None:
    people(world)
    first = enrolled(world, "ann", Device())
    withdraw(world.adapters, "default", first.id, ANN, owns=False, reason="lost")
    waiting = proven(world, "ann", Device())
    assert (waiting.key.state, waiting.vouching) == (PersonKeyState.PROVEN, RequiredVouchers.OWNER)
    flow = Enrollments(world.adapters)
    with pytest.raises(UnvouchedError):
        flow.vouch("default", waiting.key.id, voucher="", signature=b"", actor=ANN, owns=False)
    done = flow.vouch("default", waiting.key.id, voucher="", signature=b"", actor=OWNER, owns=True).key
    assert (done.enrolled_by, done.usable_from) == ("owner", done.enrolled + COOLING)


def test_the_account_that_owns_the_data_does_not_vouch_where_somebody_else_can(world: World) -> None:
    people(world)
    enrolled(world, "ann", Device())
    waiting = proven(world, "bob", Device())
    with pytest.raises(UnknownKeyError):
        Enrollments(world.adapters).vouch(
            "default", waiting.key.id, voucher="", signature=b"", actor=OWNER, owns=True
        )


def test_two_first_keys_at_once_are_not_both_first(world: World) -> None:
    people(world)
    ann, bob = Device(), Device()
    waiting = propose(world, "bob", bob)
    signature = bob.sign(waiting.statement)
    world.meanwhile(lambda: enrolled(world, "ann", ann))
    done = Enrollments(world.adapters).prove(
        "default", waiting.key.id, signature, actor_of("bob"), owns=False
    )
    assert (done.key.state, done.can) == (PersonKeyState.PROVEN, ("ann",))


def test_a_namespace_counts_its_keys_compare_and_set(world: World) -> None:
    people(world)
    enrolled(world, "ann", Device())
    with world.store.read() as snapshot:
        said = snapshot.identities.namespace("default")
    assert said.keys == 1
    with pytest.raises(ConflictError):
        world.store.write(lambda tx: tx.identities.put_namespace(replace(said, keys=0), expect=0))


def test_a_withdrawn_key_counts_no_more_and_never_comes_back(world: World) -> None:
    (first, ann), (second, bob) = pair(world)
    signature = bob.sign(b"pay")
    withdraw(world.adapters, "default", second.id, actor_of("bob"), owns=False, reason="lost")
    with pytest.raises(NotStandingError, match="is withdrawn"):
        take(world, second, b"pay", signature)
    with pytest.raises(WrongStateError):
        withdraw(world.adapters, "default", second.id, actor_of("bob"), owns=False, reason="")
    with pytest.raises(IdentityExistsError):
        propose(world, "bob", bob)
    with pytest.raises(IdentityExistsError):
        propose(world, "carl", ann)
    assert world.monitor.messages == []
    assert key_now(world, first).state is PersonKeyState.ENROLLED


def test_nobody_works_on_anothers_key_but_the_owner_of_the_data(world: World) -> None:
    (first, _), (second, _) = pair(world)
    with pytest.raises(NotKeyHolderError):
        withdraw(world.adapters, "default", second.id, ANN, owns=False, reason="")
    with pytest.raises(NotKeyHolderError):
        propose(world, "carl", Device(), by="ann")
    waiting = propose(world, "carl", Device())
    with pytest.raises(NotKeyHolderError):
        Enrollments(world.adapters).prove("default", waiting.key.id, b"", ANN, owns=False)
    withdraw(world.adapters, "default", first.id, OWNER, owns=True, reason="stolen")
    propose(world, "carl", Device(), by="uid:0", owns=True)
    with pytest.raises(UnknownIdentityError):
        propose(world, "nobody", Device(), by="nobody")


def test_a_key_proposed_anew_has_another_statement_and_the_old_one_is_withdrawn(world: World) -> None:
    people(world)
    device = Device()
    old = propose(world, "ann", device)
    new = propose(world, "ann", device)
    assert old.statement != new.statement
    with pytest.raises(WrongStateError):
        Enrollments(world.adapters).prove("default", old.key.id, device.sign(old.statement), ANN, owns=False)
    with pytest.raises(BadSignatureError):
        Enrollments(world.adapters).prove("default", new.key.id, device.sign(old.statement), ANN, owns=False)


def test_a_person_has_sixteen_keys_and_no_more(world: World) -> None:
    people(world)
    for _ in range(16):
        propose(world, "ann", Device())
    with pytest.raises(TooManyKeysError):
        propose(world, "ann", Device())
    propose(world, "bob", Device())


@pytest.mark.parametrize(
    ("file", "agents"),
    [
        (BARE, ()),
        (replace(BARE, uid=1001), ()),
        (replace(BARE, uid=7), (7,)),
        (replace(BARE, uid=7, mode=0o640), ()),
    ],
)
def test_a_bare_file_that_an_account_of_agents_can_read_is_refused_unless_it_is_a_demo(
    world: World, file: KeyFile, agents: tuple[int, ...]
) -> None:
    people(world)
    with pytest.raises(ExposedPersonKeyError):
        propose(world, "ann", Device(), line=SOFT, file=file, agents=agents)
    set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    progress = propose(world, "ann", Device(), line=SOFT, file=file, agents=agents)
    assert progress.key.custody is Custody.BARE


def test_a_key_says_how_it_is_kept_as_far_as_anybody_saw(world: World) -> None:
    people(world)
    assert propose(world, "ann", Device(), file=BARE).key.custody is Custody.HARDWARE
    assert propose(world, "ann", Device(), line=SOFT).key.custody is Custody.UNSEEN
    kept = replace(BARE, encrypted=True)
    assert propose(world, "ann", Device(), line=SOFT, file=kept).key.custody is Custody.PASSPHRASE


def test_only_the_owner_of_the_data_says_what_is_a_demo_and_only_before_the_first_key(world: World) -> None:
    people(world)
    with pytest.raises(NotKeyHolderError):
        set_demo(world.adapters, "default", demo=True, actor=ANN, owns=False)
    enrolled(world, "ann", Device())
    with pytest.raises(NotDemoError):
        set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    assert set_demo(world.adapters, "other", demo=True, actor=OWNER, owns=True).demo
    assert not set_demo(world.adapters, "default", demo=False, actor=OWNER, owns=True).demo


def test_in_a_demo_no_key_cools_and_when_it_ends_none_counts(world: World) -> None:
    people(world)
    set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    ann, bob = Device(), Device()
    first = enrolled(world, "ann", ann)
    second = enrolled(world, "bob", bob, voucher=(first, ann))
    take(world, second, b"pay", bob.sign(b"pay"))
    waiting = propose(world, "carl", Device(), line=SOFT, file=BARE)
    set_demo(world.adapters, "default", demo=False, actor=OWNER, owns=True)
    assert {one.state for one in keys(world)} == {PersonKeyState.WITHDRAWN}
    assert key_now(world, waiting.key).state is PersonKeyState.WITHDRAWN
    with pytest.raises(NotStandingError):
        take(world, second, b"pay", bob.sign(b"pay"))
    assert proven(world, "ann", Device()).vouching is RequiredVouchers.OWNER
    assert [one["demo"] for one in world.events("namespace-changed")] == [True, False]


def test_a_demo_that_ended_does_not_begin_again(world: World) -> None:
    people(world)
    set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    enrolled(world, "ann", Device())
    set_demo(world.adapters, "default", demo=False, actor=OWNER, owns=True)
    with pytest.raises(NotDemoError):
        set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)


def test_a_device_that_counts_back_is_refused_as_a_copy(world: World) -> None:
    people(world)
    device = Device(counter=10)
    key = enrolled(world, "ann", device)
    signature = device.sign(b"pay")
    after = take(world, key, b"pay", signature)
    assert after.counter == 12
    for counter in (11, 0):
        device.counter = counter
        with pytest.raises(BadSignatureError, match="counts back"):
            take(world, key, b"pay", device.sign(b"pay"))
    with pytest.raises(BadSignatureError, match="counts back"):
        take(world, key, b"pay", signature)


def test_a_key_of_another_namespace_counts_nothing_here(world: World) -> None:
    (first, ann), _ = pair(world)
    register_person(world.adapters, "other", "ann", uid=1000, actor=ANN)
    foreign = replace(first, namespace="other")
    waiting = proven(world, "carl", Device())
    world.store.write(lambda tx: tx.identities.put_person_key(replace(foreign, id="key_far"), expect=0))
    with pytest.raises(UnknownKeyError):
        Enrollments(world.adapters).vouch(
            "default",
            waiting.key.id,
            voucher="key_far",
            signature=ann.sign(waiting.statement),
            actor=ANN,
            owns=False,
        )


def test_those_who_watch_are_told_of_each_key_that_counts_or_waits_and_not_of_proposals(world: World) -> None:
    world.settle_in()
    before = len(world.monitor.messages)
    propose(world, "ann", Device())
    assert len(world.monitor.messages) == before
    key = enrolled(world, "ann", Device())
    withdraw(world.adapters, "default", key.id, ANN, owns=False, reason="lost")
    told = world.monitor.messages[before:]
    assert [(one["kind"], one["state"], one["person"]) for one in told] == [
        ("taskbound-person-key", "enrolled", "ann"),
        ("taskbound-person-key", "withdrawn", "ann"),
    ]
    world.monitor.broken = True
    enrolled_anyway = proven(world, "ann", Device())
    assert enrolled_anyway.key.state is PersonKeyState.PROVEN
    assert world.events("delivery")[-1]["subject"] == "news"


def keys(world: World) -> tuple[PersonKey, ...]:
    with world.store.read() as snapshot:
        return snapshot.identities.person_keys("default")


def test_those_who_watch_are_told_of_each_key_that_ends_with_its_demo(world: World) -> None:
    world.settle_in()
    register_person(world.adapters, "default", "bob", uid=1001, actor=ANN)
    set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    device = Device()
    first = enrolled(world, "ann", device)
    second = enrolled(world, "bob", Device(), voucher=(first, device))
    lost = enrolled(world, "bob", Device(), voucher=(first, device))
    withdraw(world.adapters, "default", lost.id, OWNER, owns=True, reason="lost")
    before = len(world.monitor.messages)
    set_demo(world.adapters, "default", demo=True, actor=OWNER, owns=True)
    assert len(world.monitor.messages) == before
    for _ in range(2):
        set_demo(world.adapters, "default", demo=False, actor=OWNER, owns=True)
        told = world.monitor.messages[before:]
        assert {(one["kind"], one["state"]) for one in told} == {("taskbound-person-key", "withdrawn")}
        assert sorted(one["key"] for one in told) == sorted((first.id, second.id))
