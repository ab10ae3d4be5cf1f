"""Sealed secrets of upstream servers, and audit of their OAuth tokens.

A slot takes a value sealed for this server, identity, slot and next number (`wire.secret`); only the egress
can open it, and the record has its digest. A removed value leaves its number, so an older one never counts
again. A token request is recorded durably before it is made, and refused for an unpinned server, while
stopped, or without a live task or a person's look.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.audit import UpstreamSecretSet, UpstreamTokenTold
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.tool import BadSecretError, BadSlotError, Binding, parse_slot
from taskbound.core.tool.name import shown
from taskbound.flows.tool.errors import UnknownServerError
from taskbound.flows.tool.pin import require_server
from taskbound.ports.tool import StoredSecret
from taskbound.wire.tool import require_for

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Transaction
    from taskbound.ports.tool import PinnedServer
    from taskbound.wire.egress import TellToken


class _Spec(msgspec.Struct):
    slots: tuple[str, ...] = ()


_spec: Final = msgspec.json.Decoder(_Spec)


class Secrets:
    """Stores sealed secrets; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def put(self, namespace: str, name: str, slot: str, *, number: int, sealed: str, actor: Actor) -> None:
        """Sets a slot's sealed value, or clears it if empty; `number` is one above the current."""
        text = _require_sealed(slot)

        def work(tx: Transaction) -> None:
            server = require_server(tx.tools.server(namespace, name), name)
            if text not in slots_of(server):
                raise BadSlotError(
                    f"server `{name}` was not pinned with the slot `{shown(text)}`",
                    remedy="see its slots with `taskbound upstream list`: `upstream add` declares them",
                )
            before = {one.slot: one for one in tx.tools.secrets(namespace, name)}.get(text)
            due = before.number + 1 if before is not None else 1
            if number != due:
                raise BadSecretError(
                    f"the next value of `{shown(text)}` has the number {due}, and this one {number}",
                    remedy="it was set meanwhile: look, and set it again",
                )
            if sealed:
                binding = Binding(
                    namespace=namespace, server=name, identity=server.identity, slot=text, number=number
                )
                require_for(sealed, binding)
            elif before is None or not before.sealed:
                raise BadSlotError(f"the slot `{shown(text)}` of `{name}` is empty")
            now = self._adapters.clock.now()
            tx.tools.put_secret(
                StoredSecret(
                    namespace=namespace, server=name, slot=text, number=number, sealed=sealed, at=now
                )
            )
            event = UpstreamSecretSet(
                upstream=name,
                server=server.identity,
                slot=text,
                number=number,
                sealed=sha256(sealed.encode()).hexdigest() if sealed else "",
                by=actor.name,
                proof=actor.proof,
            )
            tx.audit.append(namespace, self._adapters.writer, [event], now)

        self._adapters.store.write(work)


def _require_sealed(slot: str) -> str:
    place = parse_slot(slot)
    if place.source is not None:
        raise BadSlotError(f"`{shown(place.text)}` is filled by a credential, and takes no other secret")
    return place.text


def slots_of(server: PinnedServer) -> tuple[str, ...]:
    return _spec.decode(server.spec).slots


_NAME: Final = re.compile(r"tok_[0-9a-f]{32}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_WORD: Final = re.compile(r"[a-z0-9-]{0,40}")
_MAX_LIFE: Final = 31_536_000
_MAX_TASKS: Final = 64
_SECOND: Final = 1_000_000


class ServerTokens:
    """Records events of servers' tokens; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def record(self, namespace: str, told: TellToken, *, look: bool = False) -> None:
        """Records an event; `look` if a person looks at the server without task."""
        words = _NAME.fullmatch(told.token) and _DIGEST.fullmatch(told.identity) and _WORD.fullmatch(told.why)
        if words is None or not 0 <= told.seconds <= _MAX_LIFE or len(told.tasks) > _MAX_TASKS:
            raise MalformedError("the report about a token is malformed")

        def work(tx: Transaction) -> None:
            if told.state == "asked":
                server = require_server(tx.tools.server(namespace, told.server), told.server)
                if server.identity != told.identity:
                    raise UnknownServerError(f"server `{told.server}` is pinned to something else by now")
                require_not_stopped(tx.revocation.kill_switch(namespace))
                if not look:
                    self._require_live(tx, namespace, told.tasks)
            now = self._adapters.clock.now()
            event = UpstreamTokenTold(
                upstream=told.server,
                server=told.identity,
                token=told.token,
                state=told.state,
                tasks=told.tasks,
                until=now + told.seconds * _SECOND if told.seconds else 0,
                why=told.why,
            )
            tx.audit.append(namespace, self._adapters.writer, [event], now)

        self._adapters.store.write(work)

    def _require_live(self, tx: Transaction, namespace: str, tasks: tuple[str, ...]) -> None:
        refusal: DeniedError = NoTaskError("a token is asked for by no task")
        heads = tx.tasks.lock_heads(namespace, set(tasks))
        for task in tasks:
            try:
                require_live(task, heads, self._adapters.clock.now())
            except DeniedError as error:
                refusal = error
            else:
                return
        raise refusal
