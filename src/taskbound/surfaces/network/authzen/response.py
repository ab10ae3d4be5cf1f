"""An AuthZEN response.

Of `response`:

1. A denial is 200 with `decision: false`, never an error of HTTP, and a permit is `true` and nothing else:
   who knows of no context does not have to refuse it for one.
2. Why it is denied is told as `/v1/actions` tells an agent, and no more: no rule's name, no fact, no grant.
   `reason_admin` is what stood in the way, by its code, `reason_user` what may be done instead, and `instead`
   the arguments that a person narrowed it to.
3. What could not be decided, or not be read, is no denial: an error of the request where it is one, and of
   the item where they are many. No member of it is a `true`.
4. The text of an error is its code and words. It holds nothing of what was sent but short names with
   escapes.
5. AuthZEN knows one status of what is wrong with a request. What HTTP has a status for before anything is
   read (404, 405, 408, 411, 413, 431) is told under that one, in the same words.

Of `request_id`:

1. AuthZEN is spoken at whatever lies below `/access/`, whether it is served or not, and at its metadata.
2. An answer there has the id of its request, the same bytes. What is between two visible characters of ASCII
   may be spaces; of what is around them HTTP makes nothing.
3. An id that can't be given back is never left out without a word: the request is refused. That is one with a
   control character or a tab, one over its bound, and any of several, of which nobody can say which is meant.
   So is one with bytes beyond ASCII: who reads them as Latin-1, as UTF-8 or not at all finds another id, and
   terminals obey some of them. An empty header has no id in it.
4. It names nothing here, makes no two requests one, and stands in no log, record or error.
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
    """How the daemon's answers are told.

    Args:
        answers: In order; one where they are not told as a list.
        many: Whether they are.
        origin: How the API is known outside.
    """
    if many:
        found = [_decision(one, origin) for one in answers]
        return Told(status=_OK, body=msgspec.json.encode({"evaluations": found}))
    (answer,) = answers
    headers = ((ACTION, answer.action),) if answer.action else ()
    if not isinstance(answer, ActionPermitted) and _error_of(answer):
        return _error(_error_of(answer), answer, later=_error_of(answer) in {429, 503})
    return Told(status=_OK, body=msgspec.json.encode(_decision(answer, origin)), headers=headers)


def refused(error: TaskboundError | Fault, metadata_of: str, tried: str) -> Told:
    """How it is told that a request is answered with no decision (rule 4).

    Args:
        error: Why.
        metadata_of: Where the API says whom to ask for a token.
        tried: The `Authorization` that came; empty without one.
    """
    problem = problem_of(error, metadata_of, tried)
    status = _BAD if problem.problem.status in _OURS else problem.problem.status
    text = f"{problem.problem.code}: {problem.problem.detail}\n"
    return Told(status=status, body=text.encode(), kind=_TEXT, headers=problem.headers)


def metadata(origin: str) -> bytes | None:
    """What a service has to know of this decision point; none where it is not known by https."""
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
    """One decision (rules 1 and 2)."""
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
    """The status of what was not decided (rule 3); 0 of a denial."""
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
    """Go on only with a request whose id can be given back, where AuthZEN is spoken (rule 3).

    Args:
        target: What is asked for, as it was written.
        fields: Names in lower case and values of headers, in order.

    Raises:
        BadRequestIdError: It can't; the words hold nothing of it (rule 4).
    """
    wrong = _wrong_with(_ids(fields)) if _is_spoken(target) else ""
    if wrong:
        raise BadRequestIdError(wrong)


def told_back(target: str, fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...] | None:
    """The headers of every answer to a request (rule 2); none where AuthZEN is not spoken.

    Args:
        target: What is asked for, as it was written.
        fields: Names in lower case and values of headers, in order.
    """
    if not _is_spoken(target):
        return None
    ids = _ids(fields)
    if _wrong_with(ids):
        return ()  # it is being refused
    return tuple((REQUEST_ID, one.decode("ascii")) for one in ids if one)


def _wrong_with(ids: Sequence[bytes]) -> str:
    """Why these can't be given back (rule 3); empty where they can."""
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
    """Whether AuthZEN is spoken there (rule 1)."""
    path = target.partition("?")[0]
    return path.startswith(_BELOW) or path == METADATA
