"""All operations of the daemon's socket: name, right, handler; and the replay of repeated requests.

Of `operations`:
1. An operation that is not in this table cannot be requested.
2. A *person's* operation calls `Daemon.require_person` itself in the worker, right before it takes effect; a
   test holds table and code to each other. *Giver*: also the account that owns the data directory
   (`Daemon.require_giver`). *Looker*: a gateway, or a person outside any gateway or run: the process that
   started a server and saw its list.
3. *Gateway* operations refuse all other connections, except for those that an agent requests over a network
   with a token of its task (`acting`), and those that hand a permit's effects to an egress connection of a
   task (`injects`). *Egress* and *broker* operations refuse all others too. *Read* operations are open to any
   account that has a person or owns the data directory.
4. The rules in force are evaluated for each of them too (`surfaces.api.auth.authority`), by its name without
   `api:`; `core.policy.operations` lists the attributes that the rules see.
Of `once`:
1. A request without an idempotency key is not stored.
2. The key belongs to its principal; the whole request message is compared.
3. The answer is stored before it is sent. A refused request releases the key; an unexpected exception keeps
   it, because the effect is unknown.
4. A service has no keys, because it asks for several browsers and clients. Nor has a caller of OAuth's
   endpoints, because its answer is a token, which is stored nowhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import answered_of
from taskbound.flows.identity.services import begin_answer, finish_answer, forget_answer
from taskbound.surfaces.api.auth import consent, fronts, oauth, sign_in
from taskbound.surfaces.api.operations import (
    acting,
    action,
    amendment,
    approval,
    audit,
    broker,
    credential,
    egress,
    evaluating,
    feed,
    identity,
    passkey,
    people,
    plan,
    policy,
    service,
    serving,
    standing,
    target,
    task,
    token,
    tool,
    workload,
)
from taskbound.surfaces.api.server.operation import BOUND, Operation
from taskbound.wire.connection import Fault
from taskbound.wire.envelope import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wire.envelope import Ask


_HANDLERS: Final = (
    acting,
    action,
    amendment,
    approval,
    audit,
    broker,
    consent,
    credential,
    egress,
    evaluating,
    feed,
    fronts,
    identity,
    oauth,
    passkey,
    people,
    plan,
    policy,
    service,
    serving,
    sign_in,
    standing,
    target,
    task,
    token,
    tool,
    workload,
)
"""The modules whose handlers are bound; importing them fills the table."""

OPERATIONS: Final[Mapping[type[Any], Operation]] = dict(sorted(BOUND.items(), key=lambda one: one[1].name))
"""Every operation but `connection:open`, by the message that asks for it."""


_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


async def once(
    daemon: Daemon,
    seat: Connection,
    key: str,
    ask: Ask,
    work: Callable[[], Coroutine[None, None, Answer]],
) -> Answer:
    """Returns the result of the work, or the answer that was given under this key before.

    Raises BadRequestKeyError, KeyReusedError (another request has the key), AnswerUnknownError (a repeated
    request without a known effect), or the error of the work.
    """
    principal = seat.principal
    if not key or principal is None or seat.client or principal.is_process:
        return await work()  # 1, 4
    adapters = daemon.adapters
    asked = answered_of(principal, key, msgspec.json.encode(ask), now=adapters.clock.now())  # 2
    known = await daemon.first(partial(begin_answer, adapters, asked))
    if known:
        return _decoder.decode(known)
    try:
        answer = await daemon.loop.create_task(work())  # what it is authorized by ends with it
    except TaskboundError:
        await daemon.first(partial(forget_answer, adapters, asked))
        raise
    if isinstance(answer, Fault):
        await daemon.first(partial(forget_answer, adapters, asked))
    else:
        await daemon.first(partial(finish_answer, adapters, asked, msgspec.json.encode(answer).decode()))  # 3
    return answer
