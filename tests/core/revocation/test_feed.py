"""What of the log ends authority, and what a reader of it knows; see `core.revocation.feed`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core import revocation as feed
from taskbound.core.audit.events import (
    EVENTS,
    Event,
    IdentityChanged,
    KillSwitchChanged,
    TaskChanged,
    TokenKeyRevoked,
    TokenRevoked,
)
from taskbound.core.audit.record import NO_HASH, Record
from taskbound.core.clock import Instant
from taskbound.core.identity import AgentState, PersonState
from taskbound.core.revocation import (
    ENTRY_KINDS,
    SILENT,
    About,
    Entry,
    FeedBrokenError,
    FeedEvent,
    FeedState,
    Thing,
    entry_of,
)
from taskbound.core.task import ENDED, TaskState
from tests.core.audit.samples import full

NOW = Instant(1_000_000)
TASK = Thing(namespace="default", about=About.TASK, id="tsk_a")


def record(event: Event, namespace: str = "default", at: Instant = NOW) -> Record:
    return Record(namespace=namespace, writer="w", seq=1, prev=NO_HASH, at=at, event=event)


def said(event: Event) -> tuple[About, str, FeedEvent] | None:
    found = entry_of(7, record(event))
    return None if found is None else (found.thing.about, found.thing.id, found.turn)


def task(before: TaskState, after: TaskState) -> TaskChanged:
    return TaskChanged(
        task="tsk_a", before=before.value, after=after.value, event="e", reason="", by="ann", proof="p"
    )


def identity(after: str) -> IdentityChanged:
    return IdentityChanged(identity="x", before="", after=after, reason="", by="ann", proof="p")


def entry(place: int, turn: FeedEvent, thing: Thing = TASK, at: Instant = NOW) -> Entry:
    return Entry(place=place, at=at, thing=thing, turn=turn)


def test_every_kind_of_event_gives_entries_or_gives_none_and_says_which() -> None:
    assert set(EVENTS) == ENTRY_KINDS | SILENT
    assert frozenset() == ENTRY_KINDS & SILENT


@pytest.mark.parametrize("kind", sorted(SILENT))
def test_what_gives_no_entry_gives_none(kind: str) -> None:
    assert said(full(kind)) is None


def test_a_kind_that_is_named_nowhere_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SILENT", SILENT - {"task-started"})
    with pytest.raises(FeedBrokenError, match="task-started"):
        said(full("task-started"))


@pytest.mark.parametrize("after", TaskState)
@pytest.mark.parametrize("before", TaskState)
def test_a_task_that_ends_is_over_a_paused_one_is_stopped_and_a_resumed_one_is_back(
    before: TaskState, after: TaskState
) -> None:
    expected = {TaskState.PAUSED: FeedEvent.STOPPED} | dict.fromkeys(ENDED, FeedEvent.OVER)
    if before is TaskState.PAUSED:
        expected[TaskState.RUNNING] = FeedEvent.BACK
    turn = expected.get(after)
    assert said(task(before, after)) == (None if turn is None else (About.TASK, "tsk_a", turn))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (AgentState.ACTIVE, (About.AGENT, "x", FeedEvent.BACK)),
        (AgentState.SUSPENDED, (About.AGENT, "x", FeedEvent.STOPPED)),
        (AgentState.REGISTERED, (About.AGENT, "x", FeedEvent.STOPPED)),
        (PersonState.PRESENT, (About.PERSON, "x", FeedEvent.BACK)),
        (PersonState.GONE, (About.PERSON, "x", FeedEvent.STOPPED)),
    ],
)
def test_an_agent_and_a_person_are_stopped_and_back_by_their_own_states(
    after: AgentState | PersonState, expected: tuple[About, str, FeedEvent]
) -> None:
    assert said(identity(after.value)) == expected


def test_a_state_of_an_identity_that_is_not_known_is_not_passed_over() -> None:
    with pytest.raises(FeedBrokenError, match="record at 7"):
        said(identity("asleep"))


def test_all_states_of_agents_and_persons_are_known_and_none_is_of_both() -> None:
    agents, persons = ({one.value for one in states} for states in (AgentState, PersonState))
    assert agents.isdisjoint(persons)
    for one in agents | persons:
        assert said(identity(one)) is not None


def test_what_else_ends_has_its_name_and_a_key_is_of_every_namespace() -> None:
    switch = KillSwitchChanged(stopped=True, epoch=1, reason="", by="ann", proof="p")
    assert said(switch) == (About.NAMESPACE, "", FeedEvent.STOPPED)
    assert said(replace(switch, stopped=False)) == (About.NAMESPACE, "", FeedEvent.BACK)
    token = TokenRevoked(token="jti", task="t", agent="a", why="", by="ann", proof="p")
    assert said(token) == (About.TOKEN, "jti", FeedEvent.OVER)
    assert said(full("admission-ended")) == (About.ADMISSION, "admission of it", FeedEvent.OVER)
    assert said(full("session-ended")) == (About.SESSION, "session of it", FeedEvent.OVER)
    key = entry_of(3, record(TokenKeyRevoked(key="k", before="", why="", by="ann", proof="p"), "acme"))
    assert key == Entry(
        place=3, at=NOW, thing=Thing(namespace="", about=About.KEY, id="k"), turn=FeedEvent.OVER
    )
    other = entry_of(4, record(token, "acme"))
    assert other is not None
    assert other.thing.namespace == "acme"


def test_what_is_over_stays_over_and_what_is_stopped_is_so_until_it_is_back() -> None:
    heard = FeedState(-1)
    heard.hear([entry(0, FeedEvent.STOPPED)], 0, 1.0)
    assert heard.in_the_way([TASK]) == (TASK, FeedEvent.STOPPED)
    heard.hear([entry(3, FeedEvent.BACK)], 5, 1.0)
    assert (heard.in_the_way([TASK]), heard.through) == (None, 5)
    heard.hear([entry(6, FeedEvent.OVER), entry(7, FeedEvent.STOPPED), entry(8, FeedEvent.BACK)], 8, 1.0)
    assert heard.in_the_way([TASK]) == (TASK, FeedEvent.OVER)
    other = replace(TASK, namespace="acme")
    assert heard.in_the_way([other, replace(TASK, id="tsk_b")]) is None


@pytest.mark.parametrize(
    ("entries", "through"),
    [
        ([], 3),  # behind what was heard
        ([entry(6, FeedEvent.OVER), entry(5, FeedEvent.OVER)], 9),  # out of order
        ([entry(6, FeedEvent.OVER), entry(6, FeedEvent.OVER)], 9),  # twice in one answer
        ([entry(8, FeedEvent.OVER)], 7),  # beyond what was looked at
    ],
)
def test_f24_what_goes_back_or_is_out_of_order_is_not_taken(entries: list[Entry], through: int) -> None:
    heard = FeedState(4)
    with pytest.raises(FeedBrokenError):
        heard.hear(entries, through, 1.0)
    assert (heard.through, heard.in_the_way([TASK])) == (4, None)


@pytest.mark.parametrize("place", [1, 2])
def test_k20_what_comes_again_alone_brings_nothing_back(place: int) -> None:
    heard = FeedState(-1)
    heard.hear([entry(1, FeedEvent.BACK), entry(2, FeedEvent.STOPPED)], 2, 1.0)
    heard.hear([entry(place, FeedEvent.BACK)], 3, 1.0)
    assert (heard.in_the_way([TASK]), heard.through) == ((TASK, FeedEvent.STOPPED), 3)


def test_in_another_log_what_was_heard_stays_and_all_is_heard_from_its_first_record_on() -> None:
    heard, other = FeedState(-1), replace(TASK, id="tsk_b")
    heard.hear([entry(5, FeedEvent.STOPPED)], 5, 1.0)
    heard.begin_anew()
    heard.hear([entry(0, FeedEvent.OVER, other)], 0, 2.0)
    assert heard.in_the_way([other]) == (other, FeedEvent.OVER)
    assert heard.in_the_way([TASK]) == (TASK, FeedEvent.STOPPED)
    assert heard.in_the_way([replace(TASK, id="tsk_c"), other, TASK]) == (other, FeedEvent.OVER)  # the first


def test_what_was_said_longer_ago_than_a_token_lives_is_forgotten_and_nothing_else() -> None:
    heard, late = FeedState(-1), replace(TASK, id="tsk_late")
    heard.hear([entry(0, FeedEvent.OVER)], 0, 1.0)
    heard.hear([entry(1, FeedEvent.STOPPED, late)], 1, 2.0)
    heard.forget(1.0)
    assert heard.in_the_way([TASK]) is None
    assert heard.in_the_way([late]) == (late, FeedEvent.STOPPED)


def test_what_is_said_again_is_forgotten_as_long_after_as_if_it_were_said_then_alone() -> None:
    heard, other = FeedState(-1), replace(TASK, id="tsk_b")
    heard.hear([entry(0, FeedEvent.STOPPED), entry(1, FeedEvent.STOPPED, other)], 1, 1.0)
    heard.hear([entry(2, FeedEvent.STOPPED)], 2, 2.0)
    heard.forget(1.0)
    assert heard.in_the_way([other]) is None
    assert heard.in_the_way([TASK]) == (TASK, FeedEvent.STOPPED)


class Counted(Thing):
    """A thing that counts how often one of its kind was looked for."""

    looked = 0

    def __hash__(self) -> int:
        Counted.looked += 1
        return hash(self.id)


def test_an_answer_without_news_costs_the_same_however_much_was_heard() -> None:
    heard = FeedState(-1)
    things = [Counted(namespace="default", about=About.TOKEN, id=f"tok_{one}") for one in range(1_000)]
    heard.hear([entry(place, FeedEvent.OVER, one) for place, one in enumerate(things)], 999, 1.0)
    before = Counted.looked
    heard.hear([], 1_000, 2.0)
    heard.forget(0.5)
    assert Counted.looked - before < 10, "the first alone, which is seen to stay"
    heard.forget(1.0)
    assert heard.in_the_way(things) is None


TURNS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(list(FeedEvent))).map(
        lambda one: (replace(TASK, id=f"tsk_{one[0]}"), one[1])
    ),
    max_size=30,
)


@given(TURNS, st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_however_the_feed_is_cut_and_repeated_a_reader_knows_what_who_hears_it_whole_knows(
    turns: list[tuple[Thing, FeedEvent]], cuts: list[tuple[int, int]]
) -> None:
    whole = [entry(2 * place, turn, thing) for place, (thing, turn) in enumerate(turns)]
    at_once, piecewise, end = FeedState(-1), FeedState(-1), 2 * len(whole)
    at_once.hear(whole, end, 1.0)
    for back, ahead in cuts:  # from a place that was heard, for some further
        start, through = max(piecewise.through - back, -1), min(piecewise.through + ahead, end)
        piecewise.hear([one for one in whole if start < one.place <= through], through, 1.0)
    piecewise.hear([one for one in whole if one.place > piecewise.through], end, 1.0)
    model: dict[Thing, FeedEvent] = {}
    for thing, turn in turns:
        if model.get(thing) is not FeedEvent.OVER:
            model[thing] = turn
    for thing in {thing for thing, _ in turns}:
        expected = None if model[thing] is FeedEvent.BACK else (thing, model[thing])
        assert at_once.in_the_way([thing]) == piecewise.in_the_way([thing]) == expected
