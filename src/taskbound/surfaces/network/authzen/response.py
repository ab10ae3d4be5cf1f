"""Renders AuthZEN responses.

Of `response`:
1. A denial is 200 with `decision: false`. A permit is `true` without a context, which a client may not know.
2. A denial says what `/v1/actions` tells an agent: no rule, fact or grant. `reason_admin` is the code of the
   obstacle, `reason_user` the remedy, `instead` the arguments to which a person narrowed the action.
3. What could not be parsed or decided is no denial but an error, of the request or of the item of a batch.
4. The text of an error is its code and words; of the request it has at most short, escaped names.
5. AuthZEN has one status for a bad request, also for those that HTTP defines (404, 405, 408, 411, 413, 431).
Of `request_id`:
1. AuthZEN paths are everything below `/access/`, served or not, and its metadata.
2. Their answers return the id of the request byte for byte; spaces may stand within, surrounding ones are
   HTTP's.
3. A request whose id cannot be returned is refused: one with control characters or tabs, one over the bound,
   one of several, or one beyond ASCII, which readers decode differently and terminals may obey. An empty
   header is no id.
4. The id identifies nothing, and appears in no log, record or error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.network.authzen.request import OBLIGATIONS, UNNAMED, BadRequestIdError, held_context
from taskbound.surfaces.network.errors import status_of
from taskbound.surfaces.network.problem import problem_of
from taskbound.wire.action import ActionPermitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.errors import TaskboundError
    from taskbound.wire.action import NotPermitted
    from taskbound.wire.connection import Fault


ACTION: Final = "Taskbound-Action"
"""The header that names the action which an evaluation is, where there is one."""
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_OK: Final = 200
_BAD: Final = 400
_NO_DENIAL: Final = frozenset({400, 429, 500, 503})
"""Statuses of what was not decided (rule 3)."""
_OURS: Final = frozenset({409, 415, 422})
"""Statuses for which AuthZEN knows one, that of a bad request (rule 5)."""
_ONE: Final = _OURS | {413}
"""The same of one evaluation: what is too large there is no body of HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer."""

    status: int
    body: bytes
    kind: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


def told(answers: Sequence[ActionPermitted | NotPermitted], *, many: bool, origin: str) -> Told:
    """Renders the daemon's answers; `many` as a list. `origin` is the API's external origin."""
    if many:
        found = [_decision(one, origin) for one in answers]
        return Told(status=_OK, body=msgspec.json.encode({"evaluations": found}))
    (answer,) = answers
    headers = ((ACTION, answer.action),) if answer.action else ()
    if not isinstance(answer, ActionPermitted) and _error_of(answer):
        return _error(_error_of(answer), answer, later=_error_of(answer) in {429, 503})
    return Told(status=_OK, body=msgspec.json.encode(_decision(answer, origin)), headers=headers)


def refused(error: TaskboundError | Fault, metadata_of: str, tried: str) -> Told:
    """Renders an error without a decision (rule 4).

    `metadata_of` is the URL of the resource metadata, `tried` the received `Authorization`, empty for none.
    """
    problem = problem_of(error, metadata_of, tried)
    status = _BAD if problem.problem.status in _OURS else problem.problem.status
    text = f"{problem.problem.code}: {problem.problem.detail}\n"
    return Told(status=status, body=text.encode(), kind=_TEXT, headers=problem.headers)


def metadata(origin: str) -> bytes | None:
    """Returns the metadata of this decision point; None unless its origin is https."""
    if not origin.startswith("https://"):
        return None
    return msgspec.json.encode(
        {
            "policy_decision_point": origin,
            "access_evaluation_endpoint": f"{origin}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{origin}/access/v1/evaluations",
            "supported_obligations": list(OBLIGATIONS),
        }
    )


def _decision(answer: ActionPermitted | NotPermitted, origin: str) -> dict[str, object]:
    if isinstance(answer, ActionPermitted):
        return {"decision": True}
    status = _error_of(answer)
    if status:
        error = {"status": status, "message": f"{answer.code}: {answer.message}"}
        return {"decision": False, "context": {"error": error}}
    context: dict[str, object] = {
        "reason_admin": {answer.code: answer.message},
        "reason_user": {answer.code: answer.advice},
        **({"evaluation_id": answer.action} if answer.action else {}),
    }
    if answer.code == "held":
        context |= held_context(answer, origin)
    if isinstance(answer.arguments, msgspec.Raw):
        context["instead"] = answer.arguments
    return {"decision": False, "context": context}


def _error_of(answer: NotPermitted) -> int:
    if answer.state or answer.code in UNNAMED:
        return 0
    status = status_of(answer.code, answer.family)
    status = _BAD if status in _ONE else status
    return status if status in _NO_DENIAL else 0


def _error(status: int, answer: NotPermitted, *, later: bool) -> Told:
    text = f"{answer.code}: {answer.message}\n"
    headers = (("Retry-After", "1"),) if later else ()
    return Told(status=status, body=text.encode(), kind=_TEXT, headers=headers)


METADATA: Final = "/.well-known/authzen-configuration"
REQUEST_ID: Final = "X-Request-ID"
LONGEST: Final = 200
"""Characters of an id (rule 3)."""
_BELOW: Final = "/access/"
_NAME: Final = REQUEST_ID.lower().encode("ascii")
_VISIBLE: Final = re.compile(rb"[ -~]*")


def require_request_id(target: str, fields: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises BadRequestIdError if an AuthZEN request's id cannot be returned (rule 3)."""
    wrong = _wrong_with(_ids(fields)) if _is_spoken(target) else ""
    if wrong:
        raise BadRequestIdError(wrong)


def told_back(target: str, fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...] | None:
    """Returns the headers of every answer to a request (rule 2); none outside AuthZEN paths."""
    if not _is_spoken(target):
        return None
    ids = _ids(fields)
    if _wrong_with(ids):
        return ()  # it is being refused
    return tuple((REQUEST_ID, one.decode("ascii")) for one in ids if one)


def _wrong_with(ids: Sequence[bytes]) -> str:
    if len(ids) > 1:
        return f"the request has {len(ids)} ids, and an answer gives one back"
    if any(len(one) > LONGEST for one in ids):
        return f"the id of the request is over {LONGEST} characters long"
    if any(_VISIBLE.fullmatch(one) is None for one in ids):
        return "the id of the request is not of visible characters of ASCII"
    return ""


def _ids(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in fields if name == _NAME]


def _is_spoken(target: str) -> bool:
    path = target.partition("?")[0]
    return path.startswith(_BELOW) or path == METADATA
