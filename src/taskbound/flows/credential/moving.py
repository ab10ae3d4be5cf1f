"""One move of a credential in the transaction of its record, and what a canary's move is to its target.

1. A row is locked, moved by a rule of `core.credential`, written over the version that it was made of, and
   its record is written in the same transaction. What is refused changes nothing.
2. A move that only counts attempts, or changes nothing that anybody could see, leaves no record.
3. A canary is its target's: whether a preflight is over with its move is seen, and written, with the move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.tool.name import shown
from taskbound.flows.credential.ending import moved_event
from taskbound.flows.credential.errors import UnknownCredentialError
from taskbound.flows.target.testing import note_canary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential, CredentialEvent
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


def lock(tx: Transaction, namespace: str, credential: str) -> Credential:
    """The credential, which nobody else changes until this transaction is over.

    Raises:
        UnknownCredentialError: There is none.
    """
    found = tx.credentials.lock_credential(namespace, credential)
    if found is None:
        raise UnknownCredentialError(f"no credential is named `{shown(credential)}`")
    return found


class Moves:
    """The moves of one transaction (rule 1)."""

    def __init__(self, means: Means, tx: Transaction, namespace: str, now: Instant) -> None:
        """Begin with none."""
        self._means, self._tx, self._namespace = means, tx, namespace
        self.now = now
        self._events: list[Event] = []

    def put(
        self,
        before: Credential,
        after: Credential,
        event: CredentialEvent,
        *,
        cut: int = 0,
        notes: Sequence[str] = (),
    ) -> Credential:
        """Write this row over the one that it was made of, with its record; the row."""
        self._events.append(moved_event(before, after, event, cut=cut, notes=tuple(notes)))
        return self.keep(before, after)

    def keep(self, before: Credential, after: Credential) -> Credential:
        """Write this row over the one that it was made of, without a record (rule 2); the row."""
        self._tx.credentials.put_credential(after, expect=before.version)
        self._events += note_canary(self._tx, self._means, after, self.now)  # 3
        return after

    def note(self, event: Event) -> None:
        """Have this recorded beside them."""
        self._events.append(event)

    def record(self) -> None:
        """Write the records, where there are some; the last thing of the transaction."""
        if self._events:
            self._tx.audit.append(self._namespace, self._means.writer, self._events, self.now)
