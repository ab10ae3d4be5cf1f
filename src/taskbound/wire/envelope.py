"""The unions of all requests and answers on the daemon's socket, made of the messages of `taskbound.wire`."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from taskbound.wire import (
    action,  # noqa: F401 - its messages are parts of the unions
    approval,
    audit,  # noqa: F401 - its messages are parts of the unions
    authorization,  # noqa: F401 - its messages are parts of the unions
    connection,
    egress,  # noqa: F401 - its messages are parts of the unions
    identity,  # noqa: F401 - its messages are parts of the unions
    policy,  # noqa: F401 - its messages are parts of the unions
    target,
    task,  # noqa: F401 - its messages are parts of the unions
    token,  # noqa: F401 - its messages are parts of the unions
    tool,  # noqa: F401 - its messages are parts of the unions
    workload,  # noqa: F401 - its messages are parts of the unions
)
from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.network import Shown


def _all(base: type[Message]) -> tuple[type[Any], ...]:
    some = base.__subclasses__()
    return tuple(one for each in some for one in _all(each)) if some else (base,)


if TYPE_CHECKING:
    Ask: TypeAlias = Request
    """Every request to the daemon."""
    Answer: TypeAlias = Response
    """Every answer of the daemon."""
else:
    Ask = reduce(or_, _all(Request))
    Answer = reduce(or_, _all(Response))

Push: TypeAlias = (
    connection.TaskPush | connection.StopPush | approval.HoldPush | target.DuePush | target.DiscoverPush
)
"""Everything that the daemon may say unasked."""


class Said(Message, frozen=True):
    """One request."""

    id: int
    ask: Ask
    shown: Shown | None = None
    """What came with it over the network; the role `api` says it with all but a ping."""


class Reply(Message, frozen=True):
    """One reply, or one push (id 0)."""

    id: int
    answer: Answer | None = None
    push: Push | None = None


ask_decoder = msgspec.json.Decoder(Said)
"""Reads what clients send."""
said_decoder = msgspec.json.Decoder(Reply)
"""Reads what the daemon sends."""
