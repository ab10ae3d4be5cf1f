from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    GRACE,
    LEASE,
    LONGEST_WAIT,
    NEVER,
    OVERDUE,
    BadCredentialLifeError,
    Credential,
    CredentialState,
    HandOutOverError,
    Lease,
    LeaseHeldError,
    LeaseLostError,
    NotRenewableError,
    Renewal,
    RenewalState,
    Step,
    acknowledge,
    age_of,
    begin_mint,
    begin_renewal,
    begin_revocation,
    end_credential,
    end_in_target,
    end_of,
    end_unsent,
    fail_renewal,
    fail_revocation,
    is_overdue,
    is_renewing,
    keep_end,
    latest_end,
    leave_credential,
    prolong_credential,
    prove_gone,
    prove_still_gone,
    reappear,
    renew_credential,
    show_credential,
    step_of,
)
from taskbound.core.transition import WrongStateError
from tests.core.credential.crediting import BEGAN, later, made

S = CredentialState


def active(at: float = 1) -> Credential:
    minting = begin_mint(made(), later(at))
    return show_credential(minting, minting.lease.fence, later(at))


def revoking(at: float = 2) -> Credential:
    return end_credential(acknowledge(active(), later(1)), "the task ended", later(at))


# --- ends ------------------------------------------------------------------------------------


@given(st.integers(0, 4000), st.integers(1, 3600), st.integers(-5, 4000))
def test_i03_a_credential_ends_with_its_task_and_its_kind_at_the_latest(
    asked: int, most: int, left: int
) -> None:
    deadline = later(left)
    try:
        ends = end_of(asked, most, BEGAN, deadline)
    except BadCredentialLifeError:
        assert asked > most or left < 1
        return
    assert BEGAN + seconds(1) <= ends <= min(deadline, later(asked or most), later(most))


@given(st.integers(0, 10**15))
def test_i03_a_target_is_told_a_later_end_in_whole_seconds_and_within_the_grace(micro: int) -> None:
    ends = Instant(BEGAN + micro)
    told = end_in_target(ends)
    assert told % seconds(1) == 0
    assert ends + seconds(30) <= told <= ends + GRACE


def test_no_life_is_asked_for_backwards() -> None:
    with pytest.raises(BadCredentialLifeError):
        end_of(-1, 60, BEGAN)


# --- minting ---------------------------------------------------------------------------------


def test_a_row_is_minted_at_once_and_not_after_ten_seconds() -> None:
    assert step_of(made(), BEGAN) is Step.MINT
    assert step_of(made(), later(9.9)) is Step.MINT
    assert step_of(made(), later(10)) is Step.END


def test_k7_a_mint_whose_lease_is_over_ends() -> None:
    minting = begin_mint(made(), BEGAN)
    assert step_of(minting, later(9.9)) is None
    assert step_of(minting, later(10)) is Step.END
    with pytest.raises(LeaseLostError):
        show_credential(minting, minting.lease.fence, later(10))


def test_i55_who_was_stopped_tells_nothing_any_more() -> None:
    first = begin_revocation(revoking(), later(2))
    second = begin_revocation(first, Instant(first.lease.until))
    assert second.lease.fence == first.lease.fence + 1
    after = Instant(first.lease.until)
    with pytest.raises(LeaseLostError):
        prove_gone(second, first.lease.fence, after)
    with pytest.raises(LeaseLostError):
        fail_revocation(second, first.lease.fence, "x", after)
    with pytest.raises(LeaseLostError):
        leave_credential(second, first.lease.fence, later(400), after)
    assert prove_gone(second, second.lease.fence, after).version == second.version + 1


def test_one_worker_has_it_in_hand() -> None:
    taken = begin_revocation(revoking(), later(2))
    with pytest.raises(LeaseHeldError):
        begin_revocation(taken, later(2))
    assert step_of(taken, later(11.9)) is None
    assert step_of(taken, later(12)) is Step.REVOKE


def test_i12_a_mint_that_comes_after_the_end_is_told_no_and_may_still_arrive() -> None:
    minting = begin_mint(made(), BEGAN)
    ended = end_credential(minting, "the task ended", later(1))
    assert step_of(ended, later(1)) is Step.REVOKE
    with pytest.raises(LeaseLostError):
        show_credential(ended, minting.lease.fence, later(1))
    taken = begin_revocation(ended, later(1))
    gone = prove_gone(taken, taken.lease.fence, later(2))
    assert gone.state is S.REVOKED
    assert step_of(gone, later(69.9)) is None
    assert step_of(gone, later(70)) is Step.LOOK  # the lease's ten seconds, and sixty
    assert prove_still_gone(gone, later(69)).due == gone.due
    assert prove_still_gone(gone, later(70)).due == NEVER


def test_i07_what_was_never_sent_is_over_without_a_look_by_its_lease_alone() -> None:
    minting = begin_mint(made(), later(1))
    with pytest.raises(LeaseLostError):
        end_unsent(minting, minting.lease.fence + 1, "nobody answers", later(2))
    with pytest.raises(LeaseLostError):
        end_unsent(minting, minting.lease.fence, "nobody answers", minting.lease.until)
    over = end_unsent(minting, minting.lease.fence, "nobody answers", later(2))
    assert (over.state, over.due, over.late, over.why) == (S.REVOKED, NEVER, NEVER, "nobody answers")
    tried = begin_revocation(revoking(), later(3))
    with pytest.raises(WrongStateError):
        end_unsent(tried, tried.lease.fence, "nobody answers", later(3))


def test_what_was_shown_and_revoked_is_over() -> None:
    taken = begin_revocation(revoking(), later(2))
    gone = prove_gone(taken, taken.lease.fence, later(2))
    assert (gone.state, gone.due) == (S.REVOKED, NEVER)


# --- handing out -----------------------------------------------------------------------------


def test_k10_what_nobody_acknowledges_within_ten_seconds_ends() -> None:
    row = active(at=1)
    assert step_of(row, later(10.9)) is None
    assert step_of(row, later(11)) is Step.END
    with pytest.raises(HandOutOverError):
        acknowledge(row, later(11))
    had = acknowledge(row, later(10.9))
    assert step_of(had, later(299)) is None
    assert step_of(had, later(300)) is Step.END
    assert acknowledge(had, later(200)) == had


def test_a_short_credential_ends_before_its_hand_out_does() -> None:
    minting = begin_mint(made(ends=later(3)), BEGAN)
    assert step_of(show_credential(minting, 1, BEGAN), later(3)) is Step.END


@pytest.mark.parametrize("state", [one for one in S if one is not S.ACTIVE])
def test_only_what_is_active_is_acknowledged_or_renewed(state: CredentialState) -> None:
    row = made(state=state, acknowledged=True, lease=Lease(fence=1, until=later(10)), renewal=wanted())
    for move in (
        acknowledge,
        lambda row, now: prolong_credential(replace(row, renewal=None), wanted(), now),
        lambda row, now: begin_renewal(replace(row, lease=Lease()), now),
        lambda row, now: renew_credential(row, 1, now),
        lambda row, now: fail_renewal(row, 1, "x", now),
        lambda row, now: keep_end(row, 1, "x", now),
    ):
        with pytest.raises(WrongStateError):
            move(row, BEGAN)


# --- renewing --------------------------------------------------------------------------------


def wanted(until: float = 400) -> Renewal:
    return Renewal(action="act_2", ends=later(until), record=7)


def renewing(until: float = 400, at: float = 2) -> Credential:
    """Permitted, and in a broker's hand."""
    had = acknowledge(active(), later(1))
    return begin_renewal(prolong_credential(had, wanted(until), later(at)), later(at))


def test_i09_what_was_permitted_is_told_to_the_target_at_once_and_ends_as_before_until_then() -> None:
    had = acknowledge(active(), later(1))
    asked = prolong_credential(had, wanted(), later(2))
    assert (step_of(asked, later(2)), asked.ends) == (Step.RENEW, had.ends)
    assert step_of(asked, later(300)) is Step.END
    assert latest_end(asked) == later(400)
    done = renew_credential(renewing(), 2, later(3))
    assert (done.ends, done.renewal) == (later(400), replace(wanted(), state=RenewalState.DONE))
    assert step_of(done, later(399)) is None
    assert step_of(done, later(400)) is Step.END


def test_i09_a_renewal_never_leads_to_an_earlier_end() -> None:
    with pytest.raises(NotRenewableError):
        prolong_credential(acknowledge(active(), later(1)), wanted(300), later(2))
    forged = replace(renewing(), renewal=wanted(5))
    assert renew_credential(forged, 2, later(3)).ends == forged.ends


def test_i09_what_is_over_or_nobody_has_is_never_renewed_also_where_its_end_is_not_written_yet() -> None:
    with pytest.raises(NotRenewableError):
        prolong_credential(active(), wanted(), later(2))
    with pytest.raises(NotRenewableError):
        prolong_credential(acknowledge(active(), later(1)), wanted(), later(300))
    late = renewing(at=295)
    for move in (renew_credential, kept):
        with pytest.raises(NotRenewableError):
            move(late, 2, later(300))


def kept(row: Credential, fence: int, now: Instant) -> Credential:
    return keep_end(row, fence, "refused", now)


def failed(row: Credential, fence: int, now: Instant) -> Credential:
    return fail_renewal(row, fence, "it hangs", now)


def test_i12_an_end_takes_a_renewal_out_of_every_hand() -> None:
    taken = renewing()
    ended = end_credential(taken, "the task ended", later(3))
    assert (ended.state, step_of(ended, later(3))) == (S.REVOKING, Step.REVOKE)
    assert ended.renewal == replace(wanted(), state=RenewalState.FAILED)
    assert latest_end(ended) == later(400)  # the target may have been told
    with pytest.raises(LeaseLostError):
        renew_credential(ended, taken.lease.fence, later(3))
    assert begin_revocation(ended, later(3)).lease.fence == taken.lease.fence + 1


def test_of_two_renewals_one_is_under_way_and_the_other_comes_after_it() -> None:
    with pytest.raises(NotRenewableError):
        prolong_credential(replace(renewing(), lease=Lease()), wanted(500), later(3))
    done = renew_credential(renewing(), 2, later(3))
    assert prolong_credential(done, wanted(500), later(3)).ends == later(400)


def test_i55_a_renewal_that_was_lost_is_done_again_under_the_next_fence() -> None:
    taken = renewing()
    with pytest.raises(LeaseHeldError):
        begin_renewal(taken, later(3))
    assert step_of(taken, later(11.9)) is None
    again = begin_renewal(taken, later(12))
    with pytest.raises(LeaseLostError):
        renew_credential(again, taken.lease.fence, later(12))
    assert renew_credential(again, again.lease.fence, later(13)).ends == later(400)


def test_what_can_not_be_told_is_tried_again_until_the_end_and_what_is_refused_is_not() -> None:
    row, now, waits = renewing(at=2), later(2), []
    while step_of(row, now) is not Step.END:
        if row.lease.until != NEVER:
            row = fail_renewal(row, row.lease.fence, "the target can't be reached", now)
            waits.append(row.due - now)
        now = Instant(row.due)
        if step_of(row, now) is Step.RENEW:
            row = begin_renewal(row, now)
    assert (now, row.ends) == (later(300), later(300))
    assert waits[:5] == [seconds(1) // 2, seconds(1), seconds(2), seconds(4), seconds(5)]
    same = keep_end(renewing(), 2, "its end can't be moved", later(3))
    assert (same.ends, same.due, same.trouble) == (later(300), later(300), "its end can't be moved")
    assert same.renewal == replace(wanted(), state=RenewalState.FAILED)


# --- revoking --------------------------------------------------------------------------------


def test_i06_a_revocation_is_tried_for_ever_and_at_most_five_seconds_apart() -> None:
    row, now = revoking(), later(2)
    waits = []
    for _ in range(40_000):  # 55 hours and more
        assert step_of(row, now) is Step.REVOKE
        row = begin_revocation(row, now)
        row = fail_revocation(row, row.lease.fence, "the target can't be reached", now)
        waits.append(row.due - now)
        now = Instant(row.due)
    assert waits[:5] == [seconds(1) // 2, seconds(1), seconds(2), seconds(4), seconds(5)]
    assert set(waits[4:]) == {LONGEST_WAIT}
    assert is_overdue(row, now)
    assert age_of(row, now) > seconds(48 * 3600)
    row = begin_revocation(row, now)
    assert prove_gone(row, row.lease.fence, now).state is S.REVOKED


def test_f11_what_hung_for_its_patience_is_tried_again_at_once_and_nothing_sooner_than_its_wait() -> None:
    row, now = revoking(), later(2)
    for took, waits in ((0.2, 0.3), (5, 0), (0.5, 1.5), (4.5, 0), (1, 4), (4.5, 0.5), (5, 0), (8, 0)):
        row = begin_revocation(row, now)
        now = Instant(now + round(took * seconds(1)))
        row = fail_revocation(row, row.lease.fence, "the target took longer", now)
        assert row.due - now == round(waits * seconds(1))
        now = Instant(row.due)


def test_it_is_overdue_after_a_minute_and_has_no_age_before_and_after() -> None:
    row = revoking(at=2)
    assert not is_overdue(row, later(61.9))
    assert is_overdue(row, later(62))
    assert seconds(60) == OVERDUE
    taken = begin_revocation(row, later(70))
    assert not is_overdue(prove_gone(taken, taken.lease.fence, later(70)), later(1000))
    assert age_of(active(), later(100)) == 0


def test_what_can_not_be_ended_ends_by_itself_at_a_known_instant() -> None:
    taken = begin_revocation(revoking(), later(2))
    left = leave_credential(taken, taken.lease.fence, later(360), later(2))
    assert (left.state, left.ends, left.due) == (S.UNSUPPORTED, later(360), NEVER)
    assert step_of(replace(left, due=BEGAN), later(400)) is None


def test_f14_what_a_target_shows_again_is_revoked_again_with_an_age_of_its_own() -> None:
    taken = begin_revocation(revoking(), later(2))
    gone = prove_gone(taken, taken.lease.fence, later(2))
    back = reappear(gone, later(9000))
    assert (back.state, step_of(back, later(9000)), age_of(back, later(9001))) == (
        S.REVOKING,
        Step.REVOKE,
        seconds(1),
    )


# --- any order of events ---------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """One row, two brokers that may be stopped for any time, a target of one name."""

    def __init__(self) -> None:
        super().__init__()
        self.row = made()
        self.now = BEGAN
        self.there = False
        self.late: list[tuple[int, Instant]] = []
        """Mints that are on their way: fence, and until when the target takes them."""
        self.hands: dict[str, int] = {}
        self.secret = False
        self.deadline = later(500)
        self.told: list[tuple[int, Instant, Instant]] = []
        """Renewals that are on their way: fence, end, and until when the target takes them."""
        self.there_until = NEVER
        """When it ends there by itself."""

    @rule(much=st.sampled_from([0.1, 1, 5, 10, 61, 400]))
    def time_passes(self, much: float) -> None:
        self.now = Instant(self.now + round(much * seconds(1)))
        self.late = [one for one in self.late if one[1] > self.now]
        self.told = [one for one in self.told if one[2] > self.now]
        if step_of(self.row, self.now) is Step.END:
            self.row = end_credential(self.row, "over", self.now)

    @rule(why=st.just("the task ended"))
    def task_ends(self, why: str) -> None:
        try:
            self.row = end_credential(self.row, why, self.now)
        except WrongStateError:
            assert self.row.state in {S.REVOKING, S.REVOKED, S.UNSUPPORTED}

    @rule(who=st.sampled_from("ab"))
    def broker_takes_it(self, who: str) -> None:
        step = step_of(self.row, self.now)
        if step is Step.MINT:
            self.row = begin_mint(self.row, self.now)
            self.late.append((self.row.lease.fence, Instant(self.row.lease.until + seconds(60))))
            self.hands[who] = self.row.lease.fence
        elif step is Step.RENEW and self.row.renewal is not None:
            self.row = begin_renewal(self.row, self.now)
            fence, ends = self.row.lease.fence, latest_end(self.row)
            self.told.append((fence, ends, Instant(self.row.lease.until + seconds(60))))
        elif step is Step.REVOKE:
            self.row = begin_revocation(self.row, self.now)
            self.hands[who] = self.row.lease.fence
        elif step is Step.LOOK:
            self.row = reappear(self.row, self.now) if self.there else prove_still_gone(self.row, self.now)

    @precondition(lambda self: self.late)
    @rule()
    def mint_arrives(self) -> None:
        fence, _ = self.late.pop()
        self.there, self.there_until = True, max(self.there_until, self.row.ends)
        try:
            self.row = show_credential(self.row, fence, self.now)
        except (LeaseLostError, WrongStateError):
            return
        self.secret = True

    @precondition(lambda self: self.row.state is S.ACTIVE)
    @rule()
    def who_asked_has_it(self) -> None:
        try:
            self.row = acknowledge(self.row, self.now)
        except HandOutOverError:
            assert self.now >= self.row.shown + seconds(10)

    @rule(much=st.integers(1, 400))
    def a_renewal_is_permitted(self, much: int) -> None:
        try:
            ends = end_of(much, 400, self.now, self.deadline)
            self.row = prolong_credential(self.row, Renewal(action="act_2", ends=ends, record=1), self.now)
        except (BadCredentialLifeError, NotRenewableError, WrongStateError):
            return
        assert self.row.state is S.ACTIVE
        assert self.now < self.row.ends < ends

    @precondition(lambda self: self.told)
    @rule(how=st.sampled_from(["lost", "told", "trouble", "refused"]))
    def a_renewal_arrives(self, how: str) -> None:
        fence, ends, _ = self.told.pop()
        if self.there and how in {"lost", "told"}:
            self.there_until = max(self.there_until, ends)
        if how == "lost":  # the daemon hears nothing of it, whatever became of the row meanwhile
            return
        tell = {"told": renew_credential, "trouble": failed, "refused": kept}
        try:
            self.row = tell[how](self.row, fence, self.now)
        except (LeaseLostError, NotRenewableError, WrongStateError):
            return
        assert self.row.state is S.ACTIVE

    @precondition(lambda self: self.row.state is S.REVOKING)
    @rule(who=st.sampled_from("ab"), how=st.sampled_from(["gone", "trouble"]))
    def broker_tells(self, who: str, how: str) -> None:
        if who not in self.hands:
            return
        self.there = self.there and how != "gone"  # done in the target, whether it is believed or not
        try:
            if how == "gone":
                self.row = prove_gone(self.row, self.hands[who], self.now)
            else:
                self.row = fail_revocation(self.row, self.hands[who], how, self.now)
        except LeaseLostError:
            assert self.hands[who] < self.row.lease.fence or self.now >= self.row.lease.until

    @invariant()
    def nothing_in_the_target_is_forgotten(self) -> None:
        if self.there and self.row.state is S.REVOKED:
            assert self.row.due != NEVER  # it is looked at again

    @invariant()
    def nothing_is_handed_out_of_what_is_not_there(self) -> None:
        if self.row.state is S.ACTIVE:
            assert self.there
            assert self.secret

    @invariant()
    def i09_nothing_ends_after_the_deadline_whoever_was_told_what(self) -> None:
        assert max(self.row.ends, latest_end(self.row), self.there_until) <= self.deadline

    @invariant()
    def the_target_was_told_of_no_later_end_than_the_row_says(self) -> None:
        assert not self.there or self.there_until <= latest_end(self.row)

    @invariant()
    def what_is_being_renewed_lives(self) -> None:
        assert not is_renewing(self.row) or self.row.state is S.ACTIVE

    @invariant()
    def whatever_is_not_over_is_due(self) -> None:
        if self.row.state not in {S.REVOKED, S.UNSUPPORTED}:
            assert NEVER < self.row.due <= max(self.now + LEASE + LONGEST_WAIT, self.row.ends)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
