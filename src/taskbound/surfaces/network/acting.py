"""Requests for actions: how their bodies are read, and how what the daemon says of them is told.

1. What can't be read is told to the daemon as well, with what was shown: it asked for an action, and leaves a
   record there. Who shows nothing that proves them is told that, and nothing else.
2. The arguments go to the daemon in canonical form (RFC 8785), made from what was read strictly. What the
   answer names are those bytes: they are what was decided.
3. Only a permit is a success. Whatever else was said is a problem (RFC 9457), whose status is none of a
   success: a client that looks at nothing but that does nothing.
4. What is held or narrowed is 409, for the same request can be permitted later; so is what was permitted
   before. A held one says when it is worth another try, and where it can be looked at meanwhile.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import canonical, parse_object
from taskbound.surfaces.network.asking import read_ask
from taskbound.surfaces.network.errors import status_of
from taskbound.surfaces.network.problem import Problem, Refusal, urn_of
from taskbound.wire.action import AskAction, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import MalformedError
    from taskbound.surfaces.network.routes import Found
    from taskbound.wire.action import NotPermitted


_AGAIN: Final = "5"
"""Seconds after which a held action is worth another try."""
_CONFLICT: Final = 409
_LATER: Final = frozenset({"action-repeated", "held", "narrowed"})
_UNAVAILABLE: Final = 503
_FORBIDDEN: Final = 403
_ABSENT: Final = 404


def read_action(found: Found, query: Mapping[str, str], body: bytes) -> AskAction:
    """What a request for an action asks (rule 2).

    Raises:
        MalformedError: It can't be read.
    """
    ask = read_ask(found, query, body)
    if not isinstance(ask, AskAction):
        raise TypeError("the route asks for no action")
    return msgspec.structs.replace(ask, arguments=msgspec.Raw(canonical(parse_object(bytes(ask.arguments)))))


def unread(error: MalformedError, body: bytes) -> Malformed:
    """What the daemon is told of a body that can't be read (rule 1)."""
    return Malformed(code=error.code, message=error.message, size=len(body), sha256=sha256(body).hexdigest())


def refusal_of(said: NotPermitted) -> Refusal:
    """How it is told that nothing is permitted (rules 3 and 4)."""
    status = _CONFLICT if said.code in _LATER else _status(said)
    headers: list[tuple[str, str]] = []
    if said.code == "held":
        headers += [("Retry-After", _AGAIN), ("Location", f"/v1/actions/{said.action}/state")]
    elif status == _UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    return Refusal(
        problem=Problem(
            type=urn_of(said.code),
            title=said.code.replace("-", " ").capitalize(),
            status=status,
            detail=said.message,
            code=said.code,
            advice=said.advice,
            action=said.action,
            task=said.task,
            state=said.state,
            approval=said.approval,
            reasons=said.reasons,
            arguments=said.arguments,
            changed=said.changed,
            answer=said.answer,
        ),
        headers=tuple(headers),
    )


def _status(said: NotPermitted) -> int:
    """The status of a refusal; that a tool is unknown is one, and no page that is not found."""
    status = status_of(said.code, said.family)
    return _FORBIDDEN if status == _ABSENT else status
