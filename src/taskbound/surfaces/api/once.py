"""What is sent again with its key is answered again, and not done again.

1. Of a request without a key nothing is kept.
2. The key is its principal's. What is compared is the message that was asked, whole.
3. The answer is kept before it is told. A refusal frees the key; what nobody foresaw doesn't.
4. A service has no key: what browsers and clients ask in its name is several persons'. Nor has who asks at
   OAuth's endpoints: what they are answered with is a token, and is kept nowhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.core.identity.answered import answered_of
from taskbound.flows.identity.answered import begin_answer, finish_answer, forget_answer
from taskbound.wire.connection import Fault
from taskbound.wire.envelope import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Ask


_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


async def once(
    daemon: Daemon,
    seat: Connection,
    key: str,
    ask: Ask,
    work: Callable[[], Coroutine[None, None, Answer]],
) -> Answer:
    """The answer of the work, or the one that was given under this key before.

    Raises:
        BadRequestKeyError: The key can't be one.
        KeyReusedError: It is that of another request.
        AnswerUnknownError: It came before, and nobody knows what became of it.
        TaskboundError: What the work raises.
    """
    principal = seat.principal
    if not key or principal is None or seat.client or principal.is_process:
        return await work()  # 1, 4
    means = daemon.means
    asked = answered_of(principal, key, msgspec.json.encode(ask), now=means.clock.now())  # 2
    known = await daemon.first(partial(begin_answer, means, asked))
    if known:
        return _decoder.decode(known)
    try:
        answer = await daemon.loop.create_task(work())  # what it is authorized by ends with it
    except TaskboundError:
        await daemon.first(partial(forget_answer, means, asked))
        raise
    if isinstance(answer, Fault):
        await daemon.first(partial(forget_answer, means, asked))
    else:
        await daemon.first(partial(finish_answer, means, asked, msgspec.json.encode(answer).decode()))  # 3
    return answer
