"""Serves AuthZEN's endpoints, and renders their responses.

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
Of `serving`:
1. A request without a proof is refused unread. A bad body is reported to the daemon with the proof, which
   records it.
2. Every fault of a body is 400, also its media type (AuthZEN 1.0 §10).
3. Search endpoints are not served, because they would reveal what the rules permit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.errors import NoProofError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.http.head import require_json
from taskbound.surfaces.network.authzen.request import (
    OBLIGATIONS,
    UNNAMED,
    BadRequestIdError,
    EvaluationRequest,
    held_context,
    read_evaluation,
    read_evaluations,
)
from taskbound.surfaces.network.errors import BadQueryError, status_of
from taskbound.surfaces.network.problem import problem_of, unread
from taskbound.wire.action import ActionPermitted, ActionsEvaluated
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Link
    from taskbound.wire.action import NotPermitted
    from taskbound.wire.network import Shown


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
class EvaluationAnswer:
    """One answer."""

    status: int
    body: bytes
    kind: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


def told(answers: Sequence[ActionPermitted | NotPermitted], *, many: bool, origin: str) -> EvaluationAnswer:
    """Renders the daemon's answers; `many` as a list. `origin` is the API's external origin."""
    if many:
        found = [_decision(one, origin) for one in answers]
        return EvaluationAnswer(status=_OK, body=msgspec.json.encode({"evaluations": found}))
    (answer,) = answers
    headers = ((ACTION, answer.action),) if answer.action else ()
    if not isinstance(answer, ActionPermitted) and _error_of(answer):
        return _error(_error_of(answer), answer, later=_error_of(answer) in {429, 503})
    return EvaluationAnswer(status=_OK, body=msgspec.json.encode(_decision(answer, origin)), headers=headers)


def refused(error: TaskboundError | Fault, metadata_of: str, tried: str) -> EvaluationAnswer:
    """Renders an error without a decision (rule 4).

    `metadata_of` is the URL of the resource metadata, `tried` the received `Authorization`, empty for none.
    """
    problem = problem_of(error, metadata_of, tried)
    status = _BAD if problem.problem.status in _OURS else problem.problem.status
    text = f"{problem.problem.code}: {problem.problem.detail}\n"
    return EvaluationAnswer(status=status, body=text.encode(), kind=_TEXT, headers=problem.headers)


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


def _error(status: int, answer: NotPermitted, *, later: bool) -> EvaluationAnswer:
    text = f"{answer.code}: {answer.message}\n"
    headers = (("Retry-After", "1"),) if later else ()
    return EvaluationAnswer(status=status, body=text.encode(), kind=_TEXT, headers=headers)


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


ENDPOINTS: Final[Mapping[str, Callable[[bytes], EvaluationRequest]]] = {
    "/access/v1/evaluation": read_evaluation,
    "/access/v1/evaluations": read_evaluations,
}
"""Where evaluations are asked for, and how each is read."""
_DECIDES: Final = 75.0
"""Seconds that the daemon may take: 64 evaluations may be decided one after the other."""
_SIGNS: Final = 15.0


class EvaluationPoint:
    """Answers evaluations."""

    def __init__(self, link: Link, origin: str) -> None:
        self._link = link
        self._origin = origin

    async def answer(self, head: Head, body: bytes, shown: Shown) -> EvaluationAnswer:
        """Returns the answer to one request; raises the error if nothing was decided."""
        if not shown.authorization:
            raise NoProofError("the request shows no proof of who asks")  # 1
        asked = await self._read(head, body, shown)
        answer = await self._link.ask(asked.ask, shown, patience=_DECIDES)
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        if not isinstance(answer, ActionsEvaluated) or not answer.answers:
            raise TypeError("the daemon answers evaluations with their answers")
        return told(answer.answers, many=asked.many, origin=self._origin)

    async def _read(self, head: Head, body: bytes, shown: Shown) -> EvaluationRequest:
        try:
            if head.query:
                raise BadQueryError("an evaluation is asked for in the body, and not in the query")
            require_json(head.headers)  # 2
            return ENDPOINTS[head.path](body)
        except MalformedError as error:
            answer = await self._link.ask(unread(error, body), shown, patience=_SIGNS)  # 1
            if isinstance(answer, Fault):
                raise RefusedByDaemonError(answer) from error
            raise
