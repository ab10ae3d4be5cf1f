"""Parses AuthZEN requests strictly.

Of `request`:
1. A body is one strict JSON object. Members that AuthZEN does not define are ignored; a defined one that is
   missing or of another type refuses.
2. `resource` of type `tool` with action `tools/call` is that tool; its properties are all its arguments, and
   no member of subject or context is one.
3. Everything else is the tool `TYPE__ACTION` with the arguments `subject`, `resource` and, if not empty,
   `context` and `action`. `TYPE` is the whole server name, so no tool has two spellings.
4. In a batch, a member of an item replaces the default of its name; only a missing type, id or name is the
   default's (certification scenario, c-3-2-7), never properties. An unreadable item is refused alone; a
   default of another type refuses all.
5. Defaults count in each item that uses them; the total size is bounded like a body.
6. `task_token` in the context is a token that an agent showed to a service asking in its own name. It selects
   the task, and is neither an argument nor recorded.
7. The subject is the caller's statement and identifies no principal.
Of `drafts` (*Access Request and Approval Profile* and *Obligations Profile*, draft 1, July 2026):
1. A hold is a denial that a retry may change. Approvers are asked already, so there is no request endpoint:
   `form_url` is their page, and `expires_at` the end of the question without a retry.
2. A retry, with whatever these profiles add to its context, is the same act.
3. A sign-in that would lift a hold is an obligation of the caller (`step-up`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec

from taskbound.core.action import canonical, parse_object
from taskbound.core.clock import Instant, render_instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy.operation import parse_step_up
from taskbound.core.tool.errors import (
    BadServerNameError,
    BadToolNameError,
    ForeignCharacterError,
    NotAToolError,
)
from taskbound.core.tool.name import SEPARATOR, parse_tool_name, shown
from taskbound.wire.action import MOST_EVALUATIONS, EvaluateActions, Evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.wire.action import NotPermitted


OURS: Final = frozenset({"access_request", "approval", "supported_obligations"})
"""Members of a request's context that are these profiles', and no fact about what is asked (rule 2)."""
OBLIGATIONS: Final = ("step-up",)
"""What a denial may oblige to, as the metadata names it."""


def held_context(said: NotPermitted, origin: str) -> dict[str, object]:
    """Returns the context that a hold adds to its denial (rules 1 and 3)."""
    request: dict[str, object] = {"expires_at": render_instant(Instant(said.until))}
    if said.approval:
        request["form_url"] = f"{origin}/approvals/{said.approval}"
    steps = [step for step in map(parse_step_up, said.lifters) if step is not None]
    obligations = [
        {
            "id": f"{said.action}-{number}",
            "type": "step-up",
            "properties": {
                **({"acr_value": step.acr} if step.acr else {}),
                **({"max_age": step.within} if step.within else {}),
            },
        }
        for number, step in enumerate(steps, 1)
    ]
    return {"access_request": request, **({"obligations": obligations} if obligations else {})}


class BadEvaluationError(MalformedError):
    """A required member of an evaluation is missing, or a member has the wrong type."""

    code = "bad-evaluation"
    remedy = "send `subject`, `action` and `resource` as AuthZEN 1.0 §5 says"


class BadRequestIdError(MalformedError):
    """The `X-Request-ID` of a request cannot be returned as it was sent."""

    code = "bad-request-id"
    remedy = "send `X-Request-ID` once, 200 visible characters of ASCII at most, or none"


class TooManyEvaluationsError(MalformedError):
    """A request has more evaluations, or larger ones, than the daemon decides at once."""

    code = "too-many-evaluations"
    remedy = "send 64 at most in one request, and in each what it needs of the defaults"


TOOL: Final = "tool"
CALL: Final = "tools/call"
"""How a tool itself is asked about (rule 2)."""
UNNAMED: Final = frozenset(
    one.code for one in (BadServerNameError, BadToolNameError, ForeignCharacterError, NotAToolError)
)
"""What is said of an evaluation that no tool can be the answer to: a refusal, and no error."""
_ENTITIES: Final[tuple[str, ...]] = ("subject", "action", "resource", "context")
_REQUIRED: Final = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}
_SEMANTICS: Final[dict[str, Literal["", "deny", "permit"]]] = {
    "execute_all": "",
    "deny_on_first_deny": "deny",
    "permit_on_first_permit": "permit",
}
_MOST: Final = 1_048_576
"""Bytes that all evaluations of a request come to (rule 5)."""
_SHOWN: Final = "task_token"
"""The member of a context that says for whose task a service asks (rule 6)."""
_MOST_TOKEN: Final = 16_384
"""Characters of it."""
_LONGEST: Final = 1_000
"""Bytes of whom an evaluation is for: it is kept in the log with each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """A parsed request: the daemon's message, and the form of the answer."""

    ask: EvaluateActions
    many: bool


def read_evaluation(body: bytes) -> EvaluationRequest:
    """Parses a single evaluation; raises MalformedError (rule 1)."""
    return _single(parse_object(body))


def read_evaluations(body: bytes) -> EvaluationRequest:
    """Parses a batch; without items it is a single evaluation.

    Raises MalformedError (rules 1 and 4), or TooManyEvaluationsError (rule 5).
    """
    told = parse_object(body)
    items = told.get("evaluations", [])
    if not isinstance(items, list):
        raise BadEvaluationError("`evaluations` is no array", where="evaluations")
    if not items:
        return _single(told)
    if len(items) > MOST_EVALUATIONS:
        raise TooManyEvaluationsError(f"{len(items)} evaluations are more than {MOST_EVALUATIONS}")
    until = _semantic(told)
    defaults = {name: _entity(told[name], name, whole=False) for name in _ENTITIES if name in told}
    found = tuple(_item(one, number, defaults) for number, one in enumerate(items))
    if sum(len(one.arguments) + len(one.subject) + len(one.token) for one in found) > _MOST:
        raise TooManyEvaluationsError(f"the evaluations come to more than {_MOST} bytes")
    return EvaluationRequest(ask=EvaluateActions(evaluations=found, until=until), many=True)


def _single(told: dict[str, JsonValue]) -> EvaluationRequest:
    entities = {name: _entity(told[name], name) for name in _ENTITIES if name in told}
    return EvaluationRequest(ask=EvaluateActions(evaluations=(_evaluation(entities),)), many=False)


def _semantic(told: dict[str, JsonValue]) -> Literal["", "deny", "permit"]:
    options = told.get("options", {})
    if not isinstance(options, dict):
        raise BadEvaluationError("`options` is no object", where="options")
    word = options.get("evaluations_semantic", "execute_all")
    if not isinstance(word, str) or word not in _SEMANTICS:
        raise BadEvaluationError(
            f"the semantic of evaluations is one of {', '.join(_SEMANTICS)}",
            where="options.evaluations_semantic",
        )
    return _SEMANTICS[word]


def _item(told: JsonValue, number: int, defaults: dict[str, dict[str, JsonValue]]) -> Evaluation:
    try:
        if not isinstance(told, dict):
            raise BadEvaluationError("an evaluation is no object")
        own = {
            name: _entity(told[name], name, default=defaults.get(name, {}))
            for name in _ENTITIES
            if name in told
        }
        return _evaluation({**defaults, **own})
    except MalformedError as error:
        words = f"{error.message} (evaluation {number})"
        return _unread(error.code, words, told if isinstance(told, dict) else {})


def _entity(
    value: JsonValue,
    name: str,
    *,
    default: Mapping[str, JsonValue] = MappingProxyType({}),
    whole: bool = True,
) -> dict[str, JsonValue]:
    """`default` supplies a missing type, id or name (rule 4); `whole` requires all of them."""
    if not isinstance(value, dict):
        raise BadEvaluationError(f"`{name}` is no object", where=name)
    required = _REQUIRED.get(name)
    if required is None:
        return {key: one for key, one in value.items() if key not in OURS}
    found: dict[str, JsonValue] = {}
    for key in required:
        if key not in value and not whole:
            continue
        one = value.get(key, default.get(key))
        if not isinstance(one, str):
            raise BadEvaluationError(f"`{name}.{key}` is no text, or is not there", where=f"{name}.{key}")
        found[key] = one
    if "properties" in value:
        if not isinstance(value["properties"], dict):
            raise BadEvaluationError(f"`{name}.properties` is no object", where=f"{name}.properties")
        found["properties"] = value["properties"]
    return found


def _evaluation(entities: dict[str, dict[str, JsonValue]]) -> Evaluation:
    for name in _REQUIRED:
        if name not in entities:
            raise BadEvaluationError(f"`{name}` is not there", where=name)
        for key in _REQUIRED[name]:
            if key not in entities[name]:  # of a default that does not say it
                raise BadEvaluationError(f"`{name}.{key}` is not there", where=f"{name}.{key}")
    subject, action, resource = (entities[name] for name in _REQUIRED)
    token, entities = _token_of(entities)  # 6
    who = canonical({"id": subject["id"], "type": subject["type"]})
    if len(who) > _LONGEST:
        raise BadEvaluationError(
            f"type and id of the subject come to more than {_LONGEST} bytes", where="subject"
        )
    kind, name = cast("str", resource["type"]), cast("str", action["name"])
    arguments: dict[str, JsonValue]
    if (kind, name) == (TOOL, CALL):
        tool = cast("str", resource["id"])
        arguments = cast("dict[str, JsonValue]", resource.get("properties", {}))  # 2
    else:
        tool = f"{kind}{SEPARATOR}{name}"
        arguments = {"subject": {**subject}, "resource": {**resource}}
        arguments |= {key: {**one} for key, one in _more(entities).items()}
    try:
        server, own = parse_tool_name(tool)
        if (kind, name) != (TOOL, CALL) and (server, own) != (kind, name):
            raise BadToolNameError(
                f"`{shown(kind)}` and `{shown(name)}` are the names of no tool together"
            )  # 3
    except MalformedError as error:
        return _unread(error.code, error.message, arguments, tool=tool, subject=who.decode())
    return Evaluation(
        tool=tool, arguments=msgspec.Raw(canonical(arguments)), subject=who.decode(), token=token
    )


def _token_of(entities: dict[str, dict[str, JsonValue]]) -> tuple[str, dict[str, dict[str, JsonValue]]]:
    context = entities.get("context", {})
    token = context.get(_SHOWN, "")
    if not isinstance(token, str) or len(token) > _MOST_TOKEN:
        raise BadEvaluationError(
            f"`{_SHOWN}` is no text of at most {_MOST_TOKEN} characters",
            where=f"context.{_SHOWN}",
        )
    rest = {key: one for key, one in context.items() if key != _SHOWN}
    return token, {**entities, "context": rest}


def _more(entities: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    found: dict[str, dict[str, JsonValue]] = {}
    if entities["action"].get("properties"):
        found["action"] = {"properties": entities["action"]["properties"]}
    if entities.get("context"):
        found["context"] = entities["context"]
    return found


def _unread(
    code: str, message: str, told: dict[str, JsonValue], *, tool: str = "", subject: str = ""
) -> Evaluation:
    return Evaluation(
        tool=tool, arguments=msgspec.Raw(canonical(told)), subject=subject, code=code, message=message
    )
