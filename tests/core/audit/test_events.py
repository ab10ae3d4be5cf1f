from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import canonical
from taskbound.core.audit import (
    EVENTS,
    ActionDecided,
    Event,
    EventUnknownError,
    RecordMalformedError,
    parse_event,
)
from taskbound.core.audit.encoding import _known_end, render_any, render_event
from tests.core.audit.samples import full, least

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "events.golden.json"
KINDS = sorted(EVENTS)

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FIELD_OF = {
    "str": any_text,
    "int": st.integers(-(2**53) + 1, 2**53 - 1),
    "bool": st.booleans(),
    "tuple[str, ...]": st.lists(any_text, max_size=3).map(tuple),
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    event = EVENTS[draw(st.sampled_from(KINDS))]
    make: Callable[..., Event] = event
    return make(
        **{
            one.name: draw(FIELD_OF[str(one.type)])
            for one in fields(event)
            if one.default is MISSING or draw(st.booleans())
        }
    )


def decided(decision: str, **changes: Any) -> ActionDecided:
    event = least("action-decided")
    assert isinstance(event, ActionDecided)
    return replace(event, decision=decision, **changes)


def golden() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(GOLDEN.read_text())
    return found


def test_the_golden_file_holds_each_kind_and_no_other() -> None:
    assert sorted(golden()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_each_event_is_written_as_the_golden_file_pins_it(kind: str) -> None:
    pinned = golden()[kind]
    for event in (full(kind), least(kind)):
        assert render_event(event) in pinned, (
            "an event's form changed: fields may only be appended with a default, and then the new form is "
            "added to events.golden.json beside the old ones"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_each_form_that_was_ever_pinned_is_read_and_written_again_as_it_was(kind: str) -> None:
    for text in golden()[kind]:
        assert render_event(parse_event(json.loads(text))) == text


def test_the_union_is_closed_and_each_kind_is_one_event() -> None:
    assert len(EVENTS) == len(get_args(Event))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in EVENTS)


def test_fields_hold_nothing_nested_and_all_with_defaults_come_after_those_without() -> None:
    for event in EVENTS.values():
        assert all(one.type in FIELD_OF for one in fields(event)), event
        optional = [one.default is not MISSING for one in fields(event)]
        assert optional == sorted(optional), event


def written(event: Event) -> dict[str, Any]:
    """The event as the object that stands in a record."""
    found: dict[str, Any] = json.loads(render_event(event))
    return found


@settings(max_examples=300, deadline=None)
@given(events())
def test_an_event_is_read_as_it_was_written_and_its_bytes_are_canonical(event: Event) -> None:
    text = render_event(event)
    value = json.loads(text)
    assert parse_event(value) == event
    assert list(value) == sorted(value)
    assert text.encode() == canonical(value) == rfc8785.dumps(value)
    assert text == render_any(event)


@pytest.mark.parametrize("decision", ["permit", "refuse"])
def test_a_decision_is_written_by_its_own_fields_whatever_was_written_before(decision: str) -> None:
    first = decided(decision)
    render_event(first)
    for one in fields(first):
        if one.name != "decision":
            other = decided(decision, **{one.name: getattr(full("action-decided"), one.name)})
            assert render_event(other) == render_any(other), one.name


def test_nothing_of_what_was_refused_is_kept_in_memory() -> None:
    _known_end.cache_clear()
    for number in range(3):
        render_event(decided("refuse", tool=f"made-up-{number}"))
    assert _known_end.cache_info().currsize == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_holds_its_default_is_not_written(kind: str) -> None:
    assert written(least(kind)).keys() - {"kind"} == {
        one.name for one in fields(EVENTS[kind]) if one.default is MISSING
    }


def test_a223_no_text_can_end_a_record_or_start_another() -> None:
    hostile = 'a\r\nb\tc\0d\x1b[31m\u2028\u2029\x85{}%n%s"\\,"kind":"x"}'
    text = render_event(parse_event({**written(full("task-changed")), "reason": hostile}))
    assert not re.search(r"[\x00-\x1f]", text)
    assert json.loads(text)["reason"] == hostile


@pytest.mark.parametrize("kind", [None, "", "Task-started", "task-started ", 7, ["task-started"], "nothing"])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    with pytest.raises(EventUnknownError):
        parse_event({**written(full("task-started")), "kind": kind})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(EventUnknownError, match="no field `extra`"):
        parse_event({**written(full("task-started")), "extra": "x"})


def test_what_is_no_object_is_no_event() -> None:
    nothing: tuple[object, ...] = (None, [], "kind", 7)
    for value in nothing:
        with pytest.raises(RecordMalformedError):
            parse_event(value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_lacks_a_field_is_refused(kind: str) -> None:
    whole = written(least(kind))
    for name in whole.keys() - {"kind"}:
        with pytest.raises(RecordMalformedError, match=f"lacks `{name}`"):
            parse_event({one: value for one, value in whole.items() if one != name})


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_of_another_type_is_refused(kind: str) -> None:
    whole = written(full(kind))
    strange: tuple[object, ...] = (None, "x", 7, 1.5, True, ["x"], [7], {"x": "x"})
    for name in whole.keys() - {"kind"}:
        for value in strange:
            if type(value) is type(whole[name]) and value is not strange[6]:
                continue
            with pytest.raises(RecordMalformedError, match=f"`{name}` does not hold"):
                parse_event({**whole, name: value})


@pytest.mark.parametrize("number", [2**53, -(2**53)])
def test_a_number_that_json_readers_would_round_is_never_written(number: int) -> None:
    for kind in ("action-decided", "kill-switch-changed"):
        name = "attempt" if kind == "action-decided" else "epoch"
        event = parse_event({**written(full(kind)), name: number})
        with pytest.raises(RecordMalformedError, match="outside"):
            render_event(event)
