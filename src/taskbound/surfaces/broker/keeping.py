"""What the broker keeps of credentials that have no name of ours in their target, to end them by it.

1. What a target gave to keep is sealed by the broker to itself, for this credential of this target alone
   (`core.credential.keeping`), and is told with what was minted: it is durable before anybody has the secret.
2. Of what could not be told, this process remembers it until the row is over: it ends by that what a lost
   daemon or lease kept from the store. Only with the process that is lost, too.
3. What was begun and of which nothing is kept has been given by nobody knows which name: it is said to be
   over once everything is that the target gave until then, and never that it is gone.
4. What is not as it was sealed is a failure as long as the credential may live, as somebody changed the row,
   and is said like rule 3 afterwards. So is the lack of it in a row whose secret was handed out.
5. Of a mint that its row says was never begun nothing is there. That is believed of rows that were written
   since this broker follows the store without a break, and of no older ones: a store that was restored shows
   a row as it was before its mint (I-15).
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from taskbound.core.credential import NEVER, is_unbegun, kept_binding, lost_until
from taskbound.core.errors import TaskboundError
from taskbound.ports.target import Gone, Keeps, Left, TargetUnavailableError
from taskbound.surfaces.broker.errors import KeptMissingError
from taskbound.surfaces.broker.targets import called

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.tool import Binding
    from taskbound.ports.target import Minted, Target
    from taskbound.surfaces.broker.memory import Memory


_MOST: Final = 10_000
"""Credentials that could not be told and are remembered; what is beyond that is lost (rule 3)."""


class SealsToItself(Protocol):
    """The broker's key."""

    def seal(self, value: str, binding: Binding) -> str:
        """The value, as only this key opens it. MUST raise `TaskboundError` where that can't be."""

    def open(self, sealed: str, binding: Binding) -> str:
        """What was sealed to it for exactly this. MUST raise `TaskboundError` for anything else."""


class Keeping:
    """What is kept; safe from any thread."""

    def __init__(self, key: SealsToItself, memory: Memory) -> None:
        """Keep it under this key; the memory tells what rows are believed (rule 5)."""
        self._key = key
        self._memory = memory
        self._untold: dict[tuple[str, str], str] = {}
        """By namespace and id: what is sealed of what was not told so far (rule 2)."""
        self._lock = Lock()

    def keep(self, row: Credential, target: Target[Any], minted: Minted) -> str:
        """What is to be told as kept of this: sealed, and remembered until `told` (rules 1 and 2).

        Raises:
            TargetUnavailableError: The target kept nothing and should have, or the other way round.
            TaskboundError: It can't be sealed.
        """
        if isinstance(target, Keeps) is not bool(minted.kept):
            raise TargetUnavailableError("what speaks to the target keeps not what it has to")
        if not minted.kept:
            return ""
        sealed = self._key.seal(minted.kept, kept_binding(row))
        with self._lock:
            if len(self._untold) < _MOST:
                self._untold[row.namespace, row.id] = sealed
        return sealed

    def told(self, row: Credential) -> None:
        """The row has it, or is over: it is remembered no more."""
        with self._lock:
            self._untold.pop((row.namespace, row.id), None)

    def end(
        self, row: Credential, target: Keeps, *, ends: Instant, now: Instant, patience: float
    ) -> Gone | Left:
        """End it by what was kept, and say what the target showed.

        Args:
            row: The credential, being revoked.
            target: What it was minted in.
            ends: When it ends there by itself at the latest.
            now: When.
            patience: Seconds that the target may take.

        Raises:
            TaskboundError: It can't be ended this time.
        """
        with self._lock:
            sealed = row.kept or self._untold.get((row.namespace, row.id), "")
        until = lost_until(row, target.lasts)
        if not sealed and is_unbegun(row) and self._memory.followed(row.made):
            return Gone(cut=0)  # 5
        if not sealed and row.shown == NEVER:
            return Left(until=until)  # 3
        try:
            kept = self._open(row, sealed)
        except TaskboundError:
            if now < until:
                raise
            return Left(until=until)  # 4
        latest = max(ends, until)
        return called(lambda: target.end_kept(kept, ends=latest, patience=patience))

    def _open(self, row: Credential, sealed: str) -> str:
        if not sealed:
            raise KeptMissingError(f"what ends `{row.id}` in `{row.target}` has gone from its row")
        return self._key.open(sealed, kept_binding(row))
