"""What an exchange says of the task that it is about (RFC 9396), and of the action of a transaction token.

1. `authorization_details` are one object of our type with members of its own and no others (RFC 9396 §5).
   What a task rests on is none of them: a rule that asks for evidence is not met by the word of the agent
   that wants the task.
2. They are of a task that is to begin. Where none does, since the subject is the agent's own task, they are
   refused: a token of that one may reach further than what was asked for, and its end is the end of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.token.claims import DETAILS
from taskbound.core.token.exchange import BadExchangeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


_LIMITS: Final = Limits(size=8_192, depth=4, parts=64)
_TIMES: Final = ("seconds", "heartbeat", "grace")


class BadDetailsError(MalformedError):
    """`authorization_details` don't say which task."""

    code = "bad-details"
    remedy = (
        "one object of type `taskbound_task` with `template` and `purpose`; besides `seconds`, and"
        " `heartbeat` with `grace`, or none of them"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A task that is to be started or handed on."""

    template: str
    purpose: str
    seconds: int = 0
    """0 for as long as may be."""
    heartbeat: int = 0
    """Seconds within which its agent has to be heard of; 0 for its template's, and then no grace either."""
    grace: int = 0
    """Seconds that it may stay paused so before it ends."""


def parse_details(text: str) -> Details:
    """The task that `authorization_details` name (rule 1).

    Raises:
        BadDetailsError: They name none.
    """
    try:
        found = parse_document(text.encode("utf-8", "surrogatepass"), limits=_LIMITS)
    except MalformedError as error:
        raise BadDetailsError(f"they can't be read: {error.message}") from error
    one = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not isinstance(one, dict) or one.get("type") != DETAILS:
        raise BadDetailsError(f"they are a list of one object of type `{DETAILS}`")
    if one.keys() - {"type", "template", "purpose", *_TIMES}:
        raise BadDetailsError("the object has a member that no such object has")
    template, purpose = one.get("template"), one.get("purpose")
    if not isinstance(template, str) or not isinstance(purpose, str) or not template:
        raise BadDetailsError("`template` and `purpose` are texts")
    seconds, heartbeat, grace = (_seconds(one, name) for name in _TIMES)
    return Details(
        template=template,
        purpose=purpose,
        seconds=seconds,
        heartbeat=heartbeat,
        grace=grace,
    )


def require_no_details(text: str) -> None:
    """Go on only where no task is named that is to begin (rule 2).

    Raises:
        BadDetailsError: One is.
    """
    if text:
        raise BadDetailsError(
            "the subject is the agent's own task, and no other one begins by it",
            remedy="leave `authorization_details` out for a token of that task; another one begins by the"
            " token of a person, or by one that another agent has handed on",
        )


def _seconds(one: Mapping[str, JsonValue], name: str) -> int:
    found = one.get(name, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise BadDetailsError(f"`{name}` is a whole number of seconds")
    return found


def parse_request_details(text: str) -> tuple[str, str]:
    """The action that a transaction token is asked for, and the digest of its content, which may be empty.

    Raises:
        BadExchangeError: None is named.
    """
    try:
        found = parse_document(text.encode("utf-8", "surrogatepass"), limits=_LIMITS)
    except MalformedError as error:
        raise BadExchangeError(f"they can't be read: {error.message}", where="request_details") from error
    members = found if isinstance(found, dict) else {}
    action, content = members.get("action"), members.get("content_digest", "")
    if (
        not isinstance(action, str)
        or not isinstance(content, str)
        or members.keys() - {"action", "content_digest"}
    ):
        raise BadExchangeError(
            "they name an `action`, and a `content_digest` or none", where="request_details"
        )
    return action, content
