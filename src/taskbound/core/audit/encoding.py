"""Canonical encoding of events (RFC 8785), strict decoding, and shortening to fit a log entry.

1. Fields that hold their default are omitted. Decoding refuses unknown kinds, fields and types.
2. Encoding replaces what a record cannot hold, so that hostile input is recorded too (I-50): a lone
   surrogate by its escape and, only if the entry would be too long, a text by its beginning, length and
   digest.
3. Strings use Python's own quoting, `ensure_ascii` off, which equals RFC 8785 §3.2.2.2; tests compare
   both.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from functools import cache, lru_cache
from hashlib import sha256
from json.encoder import encode_basestring
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

from taskbound.core.audit.errors import EventUnknownError, RecordMalformedError, RecordTooLargeError
from taskbound.core.audit.events import EVENTS, ActionDecided, Event, WriterStarted
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_WHOLE_LIMIT: Final = (1 << 53) - 1

quote_text: Final = encode_basestring


def quote_texts(value: tuple[str, ...]) -> str:
    return "[" + ",".join(map(quote_text, value)) + "]"


def quote_truth(value: bool) -> str:  # noqa: FBT001  # one of four functions that are looked up by type
    return "true" if value else "false"


def quote_whole(value: int) -> str:
    """An integer as JSON; raises RecordMalformedError outside ±(2^53-1)."""
    if not -_WHOLE_LIMIT <= value <= _WHOLE_LIMIT:
        raise RecordMalformedError("a number in an event is outside ±(2^53-1)")
    return str(value)


def render_decided(event: ActionDecided) -> str:
    """The result of `render_event` for this kind, in 2 instead of 5 µs, because each decision writes one.

    Add each new field of `ActionDecided` here; a test over all fields enforces it.
    """
    charges = f',"charges":{quote_texts(event.charges)}' if event.charges else ""
    connection = f',"connection":{quote_text(event.connection)}' if event.connection else ""
    effect = f',"effect":{quote_text(event.effect)}' if event.effect else ""
    epoch = f',"epoch":{quote_whole(event.epoch)}' if event.epoch else ""
    flags = f',"flags":{quote_texts(event.flags)}' if event.flags else ""
    for_call = f',"for_call":{quote_text(event.for_call)}' if event.for_call else ""
    service = f',"service":{quote_text(event.service)}' if event.service else ""
    subject = f',"subject":{quote_text(event.subject)}' if event.subject else ""
    end = _known_end if event.decision == "permit" and not subject else _end
    return (
        f'{{"act_key":{quote_text(event.act_key)},"action":{quote_text(event.action)}'
        f',"agent":{quote_text(event.agent)},"attempt":{quote_whole(event.attempt)}'
        f',"bundle":{quote_text(event.bundle)}{charges}{connection}'
        f',"decision":{quote_text(event.decision)},"definition":{quote_text(event.definition)}'
        f',"digest":{quote_text(event.digest)}{effect}{epoch}{flags}{for_call}'
        f',"grant":{quote_text(event.grant)},"kind":"action-decided"'
        + end(
            event.last_outcome,
            event.outcome,
            event.policies,
            event.proof,
            event.reasons,
            event.scope,
            event.server,
            f"{service}{subject}",
            event.task,
            event.tool,
        )
    )


def _end(  # noqa: PLR0913, PLR0917 - what is remembered is remembered by all of it
    last_outcome: str,
    told: str,
    policies: tuple[str, ...],
    proof: str,
    reasons: tuple[str, ...],
    scope: str,
    server: str,
    asked: str,
    task: str,
    tool: str,
) -> str:
    outcome = f',"last_outcome":{quote_text(last_outcome)}' if last_outcome else ""
    outcome += f',"outcome":{quote_text(told)}' if told else ""
    proven = f',"proof":{quote_text(proof)}' if proof else ""
    return (
        f'{outcome},"policies":{quote_texts(policies)}{proven},"reasons":{quote_texts(reasons)}'
        f',"scope":{quote_text(scope)},"server":{quote_text(server)}{asked}'
        f',"task":{quote_text(task)},"tool":{quote_text(tool)}}}'
    )


_known_end: Final = lru_cache(maxsize=512)(_end)
"""For permits: what is refused may hold any text, of any length, and is not kept."""


Field: TypeAlias = str | int | bool | tuple[str, ...]
"""What a field may hold (the wire law's rule 3)."""

LIMITS: Final = ((1024, 64), (256, 32), (64, 8))
"""Characters of a text and texts of a sequence that are kept where an entry would be too long, tried in turn.

The last can't miss: 24 fields of 64 characters and four sequences of 8, each character six bytes.
"""

_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    names: tuple[str, ...]
    heads: tuple[str, ...]
    quotes: tuple[Callable[[Field], str], ...]
    defaults: tuple[object, ...]
    read: Callable[[Event], tuple[Field, ...]]
    shapes: Mapping[str, str]
    required: frozenset[str]


def render_event(event: Event) -> str:
    """Canonical JSON of the event, lone surrogates kept; raises RecordMalformedError."""
    if isinstance(event, ActionDecided):
        return render_decided(event)
    return render_any(event)


def render_any(event: Event) -> str:
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
    """Replaces what a record cannot hold; `text` and `items` limit lengths, None cuts nothing.

    Raises RecordTooLargeError for an event that opens a chain, because its heads must not be cut.
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
