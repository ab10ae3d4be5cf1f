from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.approval import (
    AnswerKind,
    BadStatementError,
    Statement,
    parse_statement,
    render_statement,
)
from taskbound.core.clock import Instant
from taskbound.core.identity import Person, PersonState
from taskbound.core.identity.person import human_of, humans
from taskbound.core.identity.person_key import (
    COOLING,
    ENROLLS,
    PERSON_KEY_TRANSITIONS,
    Custody,
    ExposedPersonKeyError,
    KeyFile,
    Namespace,
    NotStandingError,
    PersonKey,
    PersonKeyEvent,
    PersonKeyKind,
    PersonKeyState,
    RequiredVouchers,
    UnvouchedError,
    custody_of,
    enroll,
    enrollment_statement,
    require_custody,
    require_standing,
    require_voucher,
    usable_from,
    vouching_of,
)
from taskbound.core.transition import WrongStateError

NOW = Instant(1_800_000_000_000_000)
PERSONS = {
    name: Person(namespace="default", name=name, uid=uid)
    for uid, name in enumerate(("ann", "bob", "carl", "robert"), start=1000)
}
KEY = PersonKey(
    namespace="default",
    id="key_ann",
    person="ann",
    kind=PersonKeyKind.OPENSSH,
    public=b"ann",
    fingerprint="SHA256:ann",
    enrolled=NOW,
    usable_from=NOW,
    enrolled_by="first",
    state=PersonKeyState.ENROLLED,
    nonce="n1",
)
PLAIN = {
    "proposed": {"prove": "proven", "withdraw": "withdrawn"},
    "proven": {"enroll": "enrolled", "withdraw": "withdrawn"},
    "enrolled": {"withdraw": "withdrawn"},
    "withdrawn": {},
}
SPACE = Namespace(name="default", keys=1, version=1)
FRESH = Namespace(name="default")


def key_of(person: str, **changes: object) -> PersonKey:
    return replace(KEY, id=f"key_{person}", person=person, **changes)  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize("state", list(PersonKeyState))
@pytest.mark.parametrize("event", list(PersonKeyEvent))
def test_every_cell_of_the_keys_table_is_answered(state: PersonKeyState, event: PersonKeyEvent) -> None:
    wanted = PLAIN[state.value].get(event.value)
    if wanted is None:
        with pytest.raises(WrongStateError):
            PERSON_KEY_TRANSITIONS.advance(state, event)
    else:
        assert PERSON_KEY_TRANSITIONS.advance(state, event).value == wanted


def test_an_enrolled_key_of_a_present_person_counts_after_its_cooling() -> None:
    require_standing(KEY, PERSONS, NOW)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"state": PersonKeyState.PROPOSED}, "is proposed"),
        ({"state": PersonKeyState.PROVEN}, "is proven"),
        ({"state": PersonKeyState.WITHDRAWN}, "is withdrawn"),
        ({"usable_from": Instant(NOW + 1)}, "too lately"),
        ({"person": "nobody"}, "not a person"),
        ({"namespace": "other"}, "not a person of this namespace"),
    ],
)
def test_a_key_that_does_not_stand_does_not_count(changes: dict[str, object], why: str) -> None:
    with pytest.raises(NotStandingError, match=why):
        require_standing(replace(KEY, **changes), PERSONS, NOW)  # type: ignore[arg-type]  # any field


def test_the_key_of_somebody_who_left_does_not_count() -> None:
    left = PERSONS | {"ann": replace(PERSONS["ann"], state=PersonState.GONE)}
    with pytest.raises(NotStandingError, match="has left"):
        require_standing(KEY, left, NOW)


def test_a_clock_that_is_set_back_makes_a_cooling_key_count_no_sooner() -> None:
    cooling = replace(KEY, usable_from=Instant(NOW + COOLING))
    for now in (NOW - COOLING, 0, NOW, NOW + COOLING - 1):
        with pytest.raises(NotStandingError):
            require_standing(cooling, PERSONS, Instant(now))
    require_standing(cooling, PERSONS, Instant(NOW + COOLING))


def test_only_the_first_key_ever_and_those_of_a_demo_do_not_cool() -> None:
    assert usable_from(FRESH, NOW) == NOW
    assert usable_from(SPACE, NOW) == NOW + COOLING
    assert usable_from(replace(SPACE, demo=True), NOW) == NOW


def test_linked_persons_are_one_human_and_a_name_is_no_link() -> None:
    linked = PERSONS | {name: replace(PERSONS[name], human="bob") for name in ("bob", "robert")}
    assert humans(("bob", "robert", "ann"), linked) == {human_of("ann", linked), human_of("bob", linked)}
    assert human_of("ann", PERSONS | {"carl": replace(PERSONS["carl"], human="ann")}) != human_of(
        "carl", PERSONS | {"carl": replace(PERSONS["carl"], human="ann")}
    )


def test_where_another_human_has_a_key_that_counts_one_of_them_vouches() -> None:
    keys = [KEY, key_of("bob"), key_of("carl", usable_from=Instant(NOW + 1))]
    assert vouching_of("carl", PERSONS, keys, SPACE, NOW) == (RequiredVouchers.ANOTHER, ("ann", "bob"))
    assert vouching_of("ann", PERSONS, keys, SPACE, NOW) == (RequiredVouchers.ANOTHER, ("bob",))


def test_ones_other_account_is_nobody_else() -> None:
    linked = PERSONS | {name: replace(PERSONS[name], human="bob") for name in ("bob", "robert")}
    keys = [key_of("bob")]
    assert vouching_of("robert", linked, keys, SPACE, NOW) == (RequiredVouchers.OWN, ("bob",))


def test_where_keys_were_and_none_counts_the_owner_of_the_data_vouches() -> None:
    gone = [replace(KEY, state=PersonKeyState.WITHDRAWN)]
    assert vouching_of("bob", PERSONS, gone, SPACE, NOW) == (RequiredVouchers.OWNER, ())
    assert vouching_of("bob", PERSONS, [], FRESH, NOW) == (RequiredVouchers.NOBODY, ())


def test_a_key_vouches_neither_for_itself_nor_across_namespaces() -> None:
    new = key_of("carl", state=PersonKeyState.PROVEN)
    require_voucher(new, KEY, ("ann",))
    for voucher, can in (
        (KEY, ("bob",)),
        (replace(KEY, namespace="other"), ("ann",)),
        (replace(KEY, id=new.id), ("ann",)),
    ):
        with pytest.raises(UnvouchedError):
            require_voucher(new, voucher, can)


def test_custody_is_what_was_seen_and_never_more() -> None:
    file = KeyFile(encrypted=True, mode=0o600, uid=1000)
    assert custody_of(hardware=True, file=None) is Custody.HARDWARE
    assert custody_of(hardware=False, file=None) is Custody.UNSEEN
    assert custody_of(hardware=False, file=file) is Custody.PASSPHRASE
    assert custody_of(hardware=False, file=replace(file, encrypted=False)) is Custody.BARE


@pytest.mark.parametrize(("mode", "uid"), [(0o600, 1000), (0o640, 7), (0o604, 7), (0o660, 7), (0o620, 7)])
def test_a_bare_file_that_agents_can_read_is_refused_unless_the_namespace_says_demo(
    mode: int, uid: int
) -> None:
    file = KeyFile(encrypted=False, mode=mode, uid=uid)
    with pytest.raises(ExposedPersonKeyError):
        require_custody(Custody.BARE, file, agent_accounts={1000}, namespace=SPACE)
    require_custody(Custody.BARE, file, agent_accounts={1000}, namespace=replace(SPACE, demo=True))


def test_a_bare_file_that_no_account_of_agents_can_read_is_taken() -> None:
    file = KeyFile(encrypted=False, mode=0o600, uid=7)
    require_custody(Custody.BARE, file, agent_accounts={1000}, namespace=SPACE)


def test_enrolling_asks_for_possession_first() -> None:
    with pytest.raises(WrongStateError):
        enroll(key_of("bob", state=PersonKeyState.PROPOSED), SPACE, by="ann", now=NOW)
    done = enroll(key_of("bob", state=PersonKeyState.PROVEN), SPACE, by="ann", now=NOW)
    assert (done.state, done.enrolled, done.usable_from, done.enrolled_by) == (
        PersonKeyState.ENROLLED,
        NOW,
        NOW + COOLING,
        "ann",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "other"},
        {"person": "bob"},
        {"fingerprint": "SHA256:bob"},
        {"kind": PersonKeyKind.PASSKEY},
        {"custody": Custody.BARE},
        {"id": "key_2"},
        {"nonce": "n2"},
    ],
)
def test_each_thing_that_is_signed_for_stands_in_the_statement(changes: dict[str, object]) -> None:
    other = replace(KEY, **changes)  # type: ignore[arg-type]  # any field
    assert enrollment_statement(other) != enrollment_statement(KEY)


def test_what_enrolls_a_key_is_no_answer_to_a_question_and_says_so_in_its_first_line() -> None:
    statement = enrollment_statement(KEY)
    assert statement.startswith(f"{ENROLLS}\n".encode())
    with pytest.raises(BadStatementError):
        parse_statement(statement)
    answer = Statement(
        kind=AnswerKind.APPROVE,
        namespace="default",
        question="apr_1",
        digest="0" * 64,
        person="ann",
        key=KEY.id,
        at=NOW,
    )
    assert not render_statement(answer).startswith(ENROLLS.encode())
