from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskbound.core.clock import Instant, seconds
from taskbound.core.token.shared import (
    LONGEST_ANSWER,
    MOST_CLAIMS,
    MOST_ROOM,
    Answered,
    BadClaimError,
    Begun,
    ClaimsFullError,
    NotBegunError,
    OtherRequestError,
    ServedState,
    SharedClaim,
    SharedRequest,
    StillServing,
    Tally,
    Unfinished,
    begun_anew,
    forget_claims,
    make_room,
    parse_answer,
    parse_wish,
    require_named,
    say,
    shared_again,
    swap_room,
)

NOW = Instant(seconds(1_800_000_000))
REQUEST, MINE, OTHERS = "0a" * 32, "m" * 32, "o" * 32
WISH = SharedRequest(txn="act_1", token="tok_1", request=REQUEST, claimant=MINE, takes=30)
CLAIM = begun_anew(WISH, "default", "payments", until=Instant(NOW + seconds(90)), now=NOW)
EMPTY = Tally(namespace="default", service="payments", turn=0, claims=0, room=0, forgotten=Instant(-1))


def wished(**changes: Any) -> SharedRequest:
    plain = {"txn": "act_1", "token": "tok_1", "request": REQUEST, "claimant": MINE, "takes": 30}
    return parse_wish(**plain | changes)  # type: ignore[arg-type]  # what a test varies


def test_a_wish_is_what_was_said() -> None:
    assert wished() == WISH


@pytest.mark.parametrize(
    "changes",
    [
        *({"txn": one} for one in ("", "a b", "a\n", "x" * 129, "é")),
        *({"token": one} for one in ("", "\x00", "x" * 129)),
        *({"request": one} for one in ("", "0a" * 31, "0A" * 32, "0a" * 32 + "\n", "0g" * 32)),
        *({"claimant": one} for one in ("", "m" * 21, "m" * 65, "m" * 31 + "/", "m" * 32 + "\n")),
        *({"takes": one} for one in (0, -1, 601)),
    ],
)
def test_what_no_service_of_ours_would_send_is_no_wish(changes: dict[str, Any]) -> None:
    with pytest.raises(BadClaimError):
        wished(**changes)


def test_what_is_answered_names_its_claim_as_strictly() -> None:
    require_named("act_1", REQUEST, MINE)
    for bad in (("", REQUEST, MINE), ("act_1", "", MINE), ("act_1", REQUEST, "")):
        with pytest.raises(BadClaimError):
            require_named(*bad)
    assert parse_answer(b"x" * LONGEST_ANSWER) == b"x" * LONGEST_ANSWER
    for raw in (b"", b"x" * (LONGEST_ANSWER + 1)):
        with pytest.raises(BadClaimError):
            parse_answer(raw)


def test_only_who_began_it_is_told_again_that_it_has_begun_and_only_until_it_said_what_came_of_it() -> None:
    other = replace(WISH, claimant=OTHERS)
    for now in (NOW, CLAIM.still, Instant(CLAIM.until + 1)):
        assert shared_again(CLAIM, WISH, now) == Begun()
    assert shared_again(CLAIM, other, NOW) == StillServing()
    assert shared_again(CLAIM, other, Instant(CLAIM.still - 1)) == StillServing()
    assert shared_again(CLAIM, other, CLAIM.still) == Unfinished()
    for state, told in ((ServedState.LOST, Unfinished()), (ServedState.ANSWERED, Answered(answer=b"a"))):
        found = replace(CLAIM, state=state, answer=b"a")
        assert [shared_again(found, one, NOW) for one in (WISH, other)] == [told, told]


@pytest.mark.parametrize("state", list(ServedState))
def test_another_request_of_the_transaction_is_refused_also_of_who_began_it(state: ServedState) -> None:
    with pytest.raises(OtherRequestError):
        shared_again(replace(CLAIM, state=state), replace(WISH, request="0b" * 32), NOW)


@given(st.sampled_from(list(ServedState)), st.booleans(), st.integers(-(10**12), 10**12), st.integers(1, 600))
def test_no_time_that_is_over_gives_a_permission(
    state: ServedState,
    mine: bool,  # noqa: FBT001 - hypothesis gives it by its place
    later: int,
    takes: int,
) -> None:
    wish = replace(WISH, takes=takes, claimant=MINE if mine else OTHERS)
    found = replace(CLAIM, state=state, answer=b"a" if state is ServedState.ANSWERED else b"")
    told = shared_again(found, wish, Instant(NOW + later))
    assert (told == Begun()) is (mine and state is ServedState.BEGUN)


def test_what_came_of_it_is_said_by_who_began_it_once_and_the_same_again_changes_nothing() -> None:
    answered = say(CLAIM, MINE, REQUEST, b"a")
    assert answered == replace(CLAIM, state=ServedState.ANSWERED, answer=b"a")
    lost = say(CLAIM, MINE, REQUEST, None)
    assert lost == replace(CLAIM, state=ServedState.LOST)
    assert (say(answered, MINE, REQUEST, b"a"), say(lost, MINE, REQUEST, None)) == (None, None)
    for found, answer in ((answered, b"b"), (answered, None), (lost, b"a")):
        with pytest.raises(NotBegunError):
            say(found, MINE, REQUEST, answer)
    for claimant, request in ((OTHERS, REQUEST), (MINE, "0b" * 32)):
        with pytest.raises(NotBegunError):
            say(CLAIM, claimant, request, b"a")
    with pytest.raises(NotBegunError):
        say(None, MINE, REQUEST, b"a")


def test_what_begins_has_room_for_its_answer_or_does_not_begin() -> None:
    assert (CLAIM.room, make_room(EMPTY, CLAIM).room) == (LONGEST_ANSWER, LONGEST_ANSWER)
    fits = replace(EMPTY, room=MOST_ROOM - LONGEST_ANSWER, claims=MOST_CLAIMS - 1)
    full = make_room(fits, CLAIM)
    assert (full.room, full.claims, full.turn) == (MOST_ROOM, MOST_CLAIMS, 1)
    for one in (replace(fits, room=fits.room + 1), replace(fits, claims=MOST_CLAIMS)):
        with pytest.raises(ClaimsFullError):
            make_room(one, CLAIM)


def test_no_repr_has_a_claimant_or_an_answer() -> None:
    found = replace(CLAIM, answer=b"secret answer")
    assert MINE not in repr(found) + repr(WISH)
    assert "secret" not in repr(found) + repr(Answered(answer=b"secret answer"))


class Counted(RuleBasedStateMachine):
    """Whatever is begun, answered and forgotten: the tally is what counting all of it anew would say."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, SharedClaim] = {}
        self.tally = EMPTY
        self.turns = 0

    @rule(txn=st.sampled_from("abcdef"), until=st.integers(0, 9))
    def begin(self, txn: str, until: int) -> None:
        if txn not in self.claims:
            made = replace(CLAIM, txn=txn, until=Instant(until))
            self.tally, self.claims[txn], self.turns = make_room(self.tally, made), made, self.turns + 1

    @rule(txn=st.sampled_from("abcdef"), answer=st.none() | st.binary(min_size=1, max_size=9))
    def answer(self, txn: str, answer: bytes | None) -> None:
        found = self.claims.get(txn)
        if found is not None and found.state is ServedState.BEGUN:
            after = say(found, MINE, REQUEST, answer)
            assert after is not None
            self.tally, self.claims[txn], self.turns = (
                swap_room(self.tally, found, after),
                after,
                self.turns + 1,
            )

    @rule(before=st.integers(0, 10))
    def forget(self, before: int) -> None:
        gone = [one for one in self.claims.values() if one.until < before]
        for one in gone:
            del self.claims[one.txn]
        was = self.tally.forgotten
        self.tally = forget_claims(self.tally, [(one.until, one.room) for one in gone])
        self.turns += 1
        assert self.tally.forgotten == max([was, *(one.until for one in gone)])

    @invariant()
    def it_adds_up(self) -> None:
        rooms = [one.room for one in self.claims.values()]
        assert (self.tally.claims, self.tally.room) == (len(rooms), sum(rooms))
        assert self.tally.turn == self.turns


TestCounted = Counted.TestCase
