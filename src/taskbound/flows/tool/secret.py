"""Keeping the sealed secrets of upstream servers, and telling the egress of them.

1. A slot that the server was pinned with takes a value that says that it is sealed for exactly it: this
   server, its identity, the slot and the next number (`wire.secret`). What stands in it is for the egress;
   here nobody can open it. The record has a digest of what was sealed, and nothing of the value.
2. A slot that a credential fills takes none.
3. A value that is taken away leaves its number behind, so that an older one never counts again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.audit import UpstreamSecretSet
from taskbound.core.tool import BadSecretError, BadSlotError, Binding, parse_slot
from taskbound.core.tool.name import shown
from taskbound.flows.tool.pin import require_server
from taskbound.ports.tool import StoredSecret
from taskbound.wire.secret import require_for

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction
    from taskbound.ports.tool import PinnedServer


class _Spec(msgspec.Struct):
    """What of a spec is of interest here."""

    slots: tuple[str, ...] = ()


_spec: Final = msgspec.json.Decoder(_Spec)


class Secrets:
    """Keeps sealed secrets; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to work with."""
        self._means = means

    def put(self, namespace: str, name: str, slot: str, *, number: int, sealed: str, actor: Actor) -> None:
        """Fill a slot, or empty it when nothing is sealed (rule 1).

        Args:
            namespace: The server's.
            name: The server's.
            slot: As `core.tool.Slot` writes it.
            number: Of this value; the one before it is the slot's now.
            sealed: The sealed value; empty takes the one before away.
            actor: Who does it.

        Raises:
            UnknownServerError: The server is not pinned.
            BadSlotError: It was not pinned with this slot, or the slot is empty already.
            BadSecretError: The value is not sealed for this.
            ConflictError: Somebody else has set it meanwhile.
        """
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
                    remedy="somebody has set it meanwhile: look, and set it again",
                )
            if sealed:
                binding = Binding(
                    namespace=namespace, server=name, identity=server.identity, slot=text, number=number
                )
                require_for(sealed, binding)
            elif before is None or not before.sealed:
                raise BadSlotError(f"the slot `{shown(text)}` of `{name}` is empty")
            now = self._means.clock.now()
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
            tx.audit.append(namespace, self._means.writer, [event], now)

        self._means.store.write(work)


def _require_sealed(slot: str) -> str:
    """The text of a slot that takes a sealed value (rule 2).

    Raises:
        BadSlotError: A credential fills it.
    """
    place = parse_slot(slot)
    if place.source is not None:
        raise BadSlotError(f"`{shown(place.text)}` is filled by a credential, and takes no other secret")
    return place.text


def slots_of(server: PinnedServer) -> tuple[str, ...]:
    """The slots that a server was pinned with, as they are written."""
    return _spec.decode(server.spec).slots
