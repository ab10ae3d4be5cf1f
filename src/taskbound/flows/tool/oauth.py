"""What becomes of tokens for upstream servers, as the egress says it; nothing of a token is here.

1. The record that a token is about to be asked for is durable before the egress asks anybody. It is refused
   for a server that is not pinned, or pinned otherwise, while everything is stopped, and unless one of its
   tasks is live or a person looks at the server: no token is asked for what nobody knows of, nor once there
   is no task for it.
2. What comes later is recorded also of a server that was removed meanwhile: its tokens end all the same.
3. Lives are added to the daemon's clock; they are the word of the one who issues the token.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import UpstreamTokenTold
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import NoTaskError, require_live
from taskbound.flows.tool.errors import UnknownServerError
from taskbound.flows.tool.pin import require_server

if TYPE_CHECKING:
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction
    from taskbound.wire.egress import TellToken


_NAME: Final = re.compile(r"tok_[0-9a-f]{32}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_WORD: Final = re.compile(r"[a-z0-9-]{0,40}")
_MAX_LIFE: Final = 31_536_000
_MAX_TASKS: Final = 64
_SECOND: Final = 1_000_000


class ServerTokens:
    """Records what becomes of tokens; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means

    def record(self, namespace: str, told: TellToken, *, look: bool = False) -> None:
        """Record what becomes of one; `look` when a person looks at the server, for which there is no task.

        Raises:
            MalformedError: It is not written as it has to be.
            UnknownServerError: It is about to be asked for a server that is not pinned so (rule 1).
            DeniedError: It is about to be asked for, and there is no task for it.
        """
        words = _NAME.fullmatch(told.token) and _DIGEST.fullmatch(told.identity) and _WORD.fullmatch(told.why)
        if words is None or not 0 <= told.seconds <= _MAX_LIFE or len(told.tasks) > _MAX_TASKS:
            raise MalformedError("what is told of a token is not written as it has to be")

        def work(tx: Transaction) -> None:
            if told.state == "asked":
                server = require_server(tx.tools.server(namespace, told.server), told.server)
                if server.identity != told.identity:
                    raise UnknownServerError(f"server `{told.server}` is pinned to something else by now")
                require_not_stopped(tx.revocation.kill_switch(namespace))
                if not look:
                    self._require_live(tx, namespace, told.tasks)
            now = self._means.clock.now()
            event = UpstreamTokenTold(
                upstream=told.server,
                server=told.identity,
                token=told.token,
                state=told.state,
                tasks=told.tasks,
                until=now + told.seconds * _SECOND if told.seconds else 0,  # 3
                why=told.why,
            )
            tx.audit.append(namespace, self._means.writer, [event], now)

        self._means.store.write(work)

    def _require_live(self, tx: Transaction, namespace: str, tasks: tuple[str, ...]) -> None:
        """Go on only when one of these tasks is live (rule 1)."""
        refusal: DeniedError = NoTaskError("a token is asked for by no task")
        heads = tx.tasks.lock_heads(namespace, set(tasks))
        for task in tasks:
            try:
                require_live(task, heads, self._means.clock.now())
            except DeniedError as error:
                refusal = error
            else:
                return
        raise refusal
