"""How an event is written, read strictly, and made to fit into one entry of the log.

1. An event is written as one JSON object in canonical form (RFC 8785): keys sorted, nothing between tokens.
2. A field that holds its default is not written (the wire law's rule 2).
3. Read strictly: a kind, a field or a type that the law doesn't know is refused; nothing is filled in or cut.
4. What can't stand in a record is replaced visibly when it is written, so that hostile input still gets its
   record (I-50): a lone surrogate by its escape as text, and, only where an entry would be too long, a text
   by its beginning, its length and its digest.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.audit.errors import EventUnknownError, RecordMalformedError, RecordTooLargeError
from taskbound.core.audit.events import EVENTS, ActionDecided, Event, WriterStarted
from taskbound.core.audit.quoting import quote_text, quote_texts, quote_truth, quote_whole, render_decided
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Field: TypeAlias = str | int | bool | tuple[str, ...]
"""What a field may hold (the wire law's rule 3)."""

LIMITS: Final = ((1024, 64), (256, 32), (64, 8))
"""Characters of a text and texts of a sequence that are kept where an entry would be too long, tried in turn.

The last can't miss: 24 fields of 64 characters and four sequences of 8, each character six bytes.
"""

_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How the fields of one kind are written, keys in order, the kind among them."""

    names: tuple[str, ...]
    heads: tuple[str, ...]
    quotes: tuple[Callable[[Field], str], ...]
    defaults: tuple[object, ...]
    read: Callable[[Event], tuple[Field, ...]]
    shapes: Mapping[str, str]
    required: frozenset[str]


def render_event(event: Event) -> str:
    """The event's canonical JSON text (rules 1 and 2); a lone surrogate in it stays as it is.

    Raises:
        RecordMalformedError: A number is outside ±(2^53-1).
    """
    if isinstance(event, ActionDecided):
        return render_decided(event)
    return render_any(event)


def render_any(event: Event) -> str:
    """The general way of `render_event`."""
    plan = _plan(event.kind)
    parts = [
        head + quote(value)
        for head, quote, default, value in zip(
            plan.heads, plan.quotes, plan.defaults, plan.read(event), strict=True
        )
        if value != default
    ]
    return "{" + ",".join(parts) + "}"


def parse_event(value: object) -> Event:
    """The event that a JSON object holds (rule 3).

    Raises:
        RecordMalformedError: It is no object, lacks a field, or a field has the wrong type.
        EventUnknownError: It has a kind or a field that this version doesn't know.
    """
    if not isinstance(value, dict):
        raise RecordMalformedError("an event is not an object")
    kind = value.get("kind")
    event = EVENTS.get(kind) if isinstance(kind, str) else None
    if event is None:
        raise EventUnknownError(f"`{str(kind)[:64]}` is no kind of event")
    plan = _plan(event.kind)
    strange = sorted(str(name) for name in value.keys() - plan.shapes.keys())
    if strange:
        raise EventUnknownError(f"`{event.kind}` has no field `{strange[0][:64]}`")
    missing = sorted(plan.required - value.keys())
    if missing:
        raise RecordMalformedError(f"`{event.kind}` lacks `{missing[0]}`")
    make: Callable[..., Event] = event
    return make(
        **{name: _parse_field(name, one, plan.shapes[name]) for name, one in value.items() if name != "kind"}
    )


def fit_event(event: Event, *, text: int | None = None, items: int | None = None) -> Event:
    """The event with what can't stand in a record replaced (rule 4).

    Args:
        event: As it happened.
        text: How many characters of a longer text are kept; none are cut when absent.
        items: How many texts of a longer sequence are kept; none are cut when absent.

    Raises:
        RecordTooLargeError: The event opens a chain: its heads may not be cut.
    """
    if text is not None and isinstance(event, WriterStarted):
        raise RecordTooLargeError(f"a writer can't name {len(event.heads)} heads in one record")
    plan = _plan(event.kind)
    changes: dict[str, Field] = {}
    for name, value in zip(plan.names, plan.read(event), strict=True):
        match value:
            case str():
                changes[name] = _fit_text(value, text)
            case tuple():
                changes[name] = _fit_items(value, text, items)
            case int():
                continue
            case _:
                assert_never(value)
    del changes["kind"]
    copy: Callable[..., Event] = replace
    return copy(event, **changes)


def _fit_text(value: str, limit: int | None) -> str:
    whole = value.encode("utf-8", "backslashreplace").decode()
    if limit is None or len(whole) <= limit:
        return whole
    digest = sha256(whole.encode()).hexdigest()
    return f"{whole[:limit]}… [{len(whole)} characters, sha256 {digest}]"


def _fit_items(value: tuple[str, ...], text: int | None, items: int | None) -> tuple[str, ...]:
    if items is None or len(value) <= items:
        return tuple(_fit_text(one, text) for one in value)
    digest = sha256("\n".join(quote_text(_fit_text(one, None)) for one in value).encode()).hexdigest()
    return (*(_fit_text(one, text) for one in value[:items]), f"… [{len(value)} in all, sha256 {digest}]")


def _parse_field(name: str, value: object, shape: str) -> Field:
    match shape, value:
        case "str", str():
            return value
        case "bool", bool():
            return value
        case "int", int() if not isinstance(value, bool):
            return value
        case "tuple[str, ...]", list() if all(isinstance(one, str) for one in value):
            return tuple(value)
        case _:
            raise RecordMalformedError(f"`{name}` does not hold what it must")


@cache
def _plan(kind: str) -> _Plan:
    event = EVENTS[kind]
    shapes = {"kind": "str", **{one.name: str(one.type) for one in fields(event)}}
    defaults: dict[str, object] = {
        one.name: _REQUIRED if one.default is MISSING else one.default for one in fields(event)
    }
    defaults["kind"] = _REQUIRED
    names = tuple(sorted(shapes))
    return _Plan(
        names=names,
        heads=tuple(f'"{name}":' for name in names),
        quotes=tuple(_QUOTES[shapes[name]] for name in names),
        defaults=tuple(defaults[name] for name in names),
        read=attrgetter(*names),
        shapes=shapes,
        required=frozenset(name for name, default in defaults.items() if default is _REQUIRED),
    )


_QUOTES: Final[dict[str, Callable[..., str]]] = {
    "str": quote_text,
    "int": quote_whole,
    "bool": quote_truth,
    "tuple[str, ...]": quote_texts,
}
