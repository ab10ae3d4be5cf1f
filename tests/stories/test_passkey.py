from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import (
    AlreadyAnsweredError,
    AnswerKind,
    NotEntitledError,
    OtherQuestionError,
    Statement,
    render_statement,
)
from taskbound.core.clock import Instant
from taskbound.core.identity.person_key import (
    COOLING,
    BadSignatureError,
    CountsBackError,
    Custody,
    NotStandingError,
    PasskeyChallengeError,
    PasskeyKeyError,
    PasskeyOriginError,
    PersonKeyKind,
    PersonKeyState,
    RequiredVouchers,
    UnvouchedError,
)
from taskbound.flows.identity import register_person
from taskbound.flows.identity.enrollment import Enrollments, Offer
from taskbound.flows.identity.group import Groups
from taskbound.flows.identity.person import IdentityExistsError, withdraw
from tests.peers.holding import ASKED
from tests.peers.openssh import Device
from tests.peers.passkey import Browser, Passkeys
from tests.peers.people import actor_of, enrolled
from tests.world import ANN, World, code_of, id_of

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.flows.identity.enrollment import Progress
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Store

DAY = 24 * 3600


def offer(world: World, person: str, device: Passkeys) -> Progress:
    offered = Offer(person=person, kind=PersonKeyKind.PASSKEY, public=device.offered(label="phone"))
    return Enrollments(world.adapters).propose(
        "default", offered, actor_of(person), owns=False, agent_accounts=()
    )


def proven(world: World, person: str, device: Passkeys) -> Progress:
    progress = offer(world, person, device)
    return Enrollments(world.adapters).prove(
        "default", progress.key.id, device.sign(progress.statement), actor_of(person), owns=False
    )


def vouched(world: World, progress: Progress, by: PersonKey, signature: bytes) -> PersonKey:
    done = Enrollments(world.adapters).vouch(
        "default", progress.key.id, voucher=by.id, signature=signature, actor=actor_of(by.person), owns=False
    )
    return done.key


class Asking:
    """Ann has an OpenSSH key and asks; bob, of finance, has a passkey; carl of finance has one, too."""

    def __init__(self, store: Store) -> None:
        self.world = World(store=store, policy=ASKED)
        self.world.settle_in()
        groups = Groups(self.world.adapters)
        groups.add("default", "finance", ANN, owns=True)
        self.ann = Device()
        first = enrolled(self.world, "ann", self.ann)
        self.devices, self.keys = {}, {}
        for uid, name in enumerate(("bob", "carl"), start=1001):
            register_person(self.world.adapters, "default", name, uid=uid, actor=ANN)
            groups.set_member("default", "finance", name, member=True, actor=ANN, owns=True)
            device = Passkeys(credential=name.encode() * 8)
            progress = proven(self.world, name, device)
            self.devices[name] = device
            self.keys[name] = vouched(self.world, progress, first, self.ann.sign(progress.statement))
        self.first = first

    def old_enough(self) -> None:
        self.world.clock.advance(DAY + 60)

    def ask(self) -> StoredApproval:
        action = id_of(self.world.ask(self.world.start()))
        with self.world.store.read() as snapshot:
            found = snapshot.approvals.approval_of("default", action)
        assert found is not None
        return found

    def statement(self, asked: StoredApproval, who: str, kind: AnswerKind = AnswerKind.APPROVE) -> bytes:
        said = Statement(
            kind=kind,
            namespace="default",
            question=asked.question.id,
            digest=asked.question.digest,
            person=who,
            key=self.keys[who].id,
            at=Instant(self.world.clock.at),
        )
        return render_statement(said)

    def state(self, asked: StoredApproval) -> str:
        with self.world.store.read() as snapshot:
            found = snapshot.approvals.approval("default", asked.question.id)
        assert found is not None
        return found.state.value


@pytest.fixture
def there(store: Store) -> Asking:
    return Asking(store)


def test_a_passkey_is_enrolled_as_any_key_is_vouched_for_and_cools(there: Asking) -> None:
    key = there.keys["bob"]
    assert (key.state, key.enrolled_by, key.custody) == (PersonKeyState.ENROLLED, "ann", Custody.HARDWARE)
    assert key.usable_from - key.enrolled == COOLING
    steps = [
        (one["before"], one["after"], one["form"], one["custody"])
        for one in there.world.events("person-key-changed")
        if one["key"] == key.id
    ]
    assert steps == [
        ("", "proposed", "passkey", "hardware"),
        ("proposed", "proven", "passkey", "hardware"),
        ("proven", "enrolled", "passkey", "hardware"),
    ]
    asked = there.ask()
    raw = there.statement(asked, "bob")
    with pytest.raises(NotStandingError):
        there.world.approvals.answer("default", raw, there.devices["bob"].sign(raw))
    there.old_enough()
    raw = there.statement(there.ask(), "bob")
    there.world.approvals.answer("default", raw, there.devices["bob"].sign(raw))


def test_a_passkey_that_nobody_vouched_for_is_not_enrolled_by_itself(there: Asking) -> None:
    register_person(there.world.adapters, "default", "dora", uid=1003, actor=ANN)
    device = Passkeys(credential=b"d" * 32)
    progress = proven(there.world, "dora", device)
    assert (progress.key.state, progress.vouching) == (PersonKeyState.PROVEN, RequiredVouchers.ANOTHER)
    with pytest.raises(UnvouchedError):
        vouched(there.world, progress, progress.key, device.sign(progress.statement))


def test_a_passkey_vouches_for_an_openssh_key_and_counts_that_signature(there: Asking) -> None:
    there.old_enough()
    register_person(there.world.adapters, "default", "dora", uid=1003, actor=ANN)
    voucher = there.keys["bob"], there.devices["bob"]
    key = enrolled(there.world, "dora", Device(), voucher=voucher)  # type: ignore[arg-type]  # it signs as one does
    assert (key.state, key.enrolled_by) == (PersonKeyState.ENROLLED, "bob")
    with there.world.store.read() as snapshot:
        after = snapshot.identities.person_key("default", there.keys["bob"].id)
    assert after is not None
    assert after.counter == there.devices["bob"].counter == 2


def test_the_first_passkey_of_a_namespace_counts_at_once_and_a_copied_one_is_shown_as_that(
    store: Store,
) -> None:
    world = World(store=store)
    register_person(world.adapters, "default", "ann", uid=1000, actor=ANN)
    key = proven(world, "ann", Passkeys(flags=0x1D)).key
    assert (key.state, key.usable_from, key.custody) == (
        PersonKeyState.ENROLLED,
        key.enrolled,
        Custody.SYNCED,
    )


def test_a_passkey_is_enrolled_once_under_any_name_and_never_comes_back(there: Asking) -> None:
    device = there.devices["bob"]
    for again in (device, device.changed(credential=b"other name, same key" * 2)):
        with pytest.raises(IdentityExistsError):
            offer(there.world, "carl", again)
    withdraw(
        there.world.adapters, "default", there.keys["bob"].id, actor_of("bob"), owns=False, reason="lost"
    )
    with pytest.raises(IdentityExistsError):
        offer(there.world, "bob", device)


def test_what_proves_a_passkey_is_its_own_signature_over_its_own_statement(there: Asking) -> None:
    register_person(there.world.adapters, "default", "dora", uid=1003, actor=ANN)
    device = Passkeys(credential=b"d" * 32)
    progress = offer(there.world, "dora", device)
    prove = Enrollments(there.world.adapters).prove
    for signature, error in (
        (there.devices["bob"].sign(progress.statement), PasskeyKeyError),
        (device.sign(progress.statement.replace(b"dora", b"bob!")), PasskeyChallengeError),
        (device.sign(progress.statement, Browser(origin="http://localhost:1")), PasskeyOriginError),
        (there.ann.sign(progress.statement), BadSignatureError),
    ):
        with pytest.raises(error):
            prove("default", progress.key.id, signature, actor_of("dora"), owns=False)
    prove("default", progress.key.id, device.sign(progress.statement), actor_of("dora"), owns=False)


def test_an_answer_of_a_passkey_lifts_its_action_once_and_stands_in_the_log(there: Asking) -> None:
    there.old_enough()
    task = there.world.start()
    action = id_of(there.world.ask(task))
    with there.world.store.read() as snapshot:
        asked = snapshot.approvals.approval_of("default", action)
    assert asked is not None
    raw = there.statement(asked, "bob")
    signature = there.devices["bob"].sign(raw)
    told, lacking = there.world.approvals.answer("default", raw, signature)
    assert (told.state.value, lacking) == ("approved", "")
    with pytest.raises(AlreadyAnsweredError):
        there.world.approvals.answer("default", raw, signature)
    (event,) = there.world.events("approval-answered")
    assert event["proof"] == f"passkey {there.keys['bob'].fingerprint}"
    with there.world.store.read() as snapshot:
        kept = snapshot.approvals.approval("default", asked.question.id)
    assert kept is not None
    assert (kept.answers[0].statement, kept.answers[0].signature) == (raw, signature)
    assert code_of(there.world.ask(task)) == "permit"
    assert there.state(asked) == "consumed"
    assert code_of(there.world.ask(task)) == "hold"


def test_a_denial_of_a_passkey_is_final(there: Asking) -> None:
    there.old_enough()
    asked = there.ask()
    raw = there.statement(asked, "bob", AnswerKind.DENY)
    there.world.approvals.answer("default", raw, there.devices["bob"].sign(raw))
    assert there.state(asked) == "denied"


def test_a_signature_for_one_question_or_person_or_answer_is_none_for_another(there: Asking) -> None:
    there.old_enough()
    asked, other = there.ask(), there.ask()
    raw, bob, carl = there.statement(asked, "bob"), there.devices["bob"], there.devices["carl"]
    signature = bob.sign(raw)
    there.world.clock.advance(1)
    for statement in (
        there.statement(other, "bob"),
        there.statement(asked, "bob", AnswerKind.DENY),
        there.statement(asked, "bob"),  # at another instant
    ):
        with pytest.raises(PasskeyChallengeError):
            there.world.approvals.answer("default", statement, signature)
    with pytest.raises(PasskeyKeyError):
        there.world.approvals.answer("default", raw, carl.sign(raw))
    with pytest.raises(BadSignatureError):  # who has the same name for another key
        there.world.approvals.answer("default", raw, carl.changed(credential=bob.credential).sign(raw))
    mixed = raw.replace(there.keys["bob"].id.encode(), there.keys["carl"].id.encode())
    with pytest.raises(NotStandingError):  # carl's key is no key of bob's
        there.world.approvals.answer("default", mixed, carl.sign(mixed))
    question = replace(asked.question, nonce="another")
    wrong = raw.replace(asked.question.digest.encode(), question.digest.encode())
    with pytest.raises(OtherQuestionError):
        there.world.approvals.answer("default", wrong, bob.sign(wrong))
    assert (there.state(asked), there.state(other)) == ("pending", "pending")
    there.world.approvals.answer("default", raw, signature)


def test_a182_a_copied_passkey_that_counts_back_or_stands_still_answers_nothing(there: Asking) -> None:
    there.old_enough()
    bob = there.devices["bob"]
    first, second = there.ask(), there.ask()
    raw = there.statement(first, "bob")
    copy = bob.changed()
    there.world.approvals.answer("default", raw, bob.sign(raw))
    later = there.statement(second, "bob")
    for device in (copy, bob.changed(counter=0), bob.changed(counter=0, counts=False)):
        with pytest.raises(CountsBackError):
            there.world.approvals.answer("default", later, device.sign(later))
    assert there.state(second) == "pending"
    there.world.approvals.answer("default", later, bob.sign(later))


def test_a180_who_asked_approves_nothing_with_a_passkey_either(store: Store) -> None:
    there = Asking(store)
    there.old_enough()
    device = Passkeys(credential=b"a" * 32)
    progress = proven(there.world, "ann", device)
    bob = there.devices["bob"]
    there.keys["ann"] = vouched(there.world, progress, there.keys["bob"], bob.sign(progress.statement))
    there.old_enough()
    Groups(there.world.adapters).set_member("default", "finance", "ann", member=True, actor=ANN, owns=True)
    raw = there.statement(there.ask(), "ann")
    with pytest.raises(NotEntitledError):
        there.world.approvals.answer("default", raw, device.sign(raw))
