"""Which key signs tokens: taken into use in its turn or by force, and revoked (`core.token.key`).

1. A key is made by the signer, durable there, before the store knows of it; what was made and is not taken is
   destroyed by the signer, once it has no room.
2. What changes is compared under lock: of two daemons that rotate at once, one does.
3. In its turn a key is taken into use when its day has come, by the daemon itself. Somebody may take the next
   one into use at once, and revoke any; where that is the current one, the next one signs from then on.
   Nobody is waited for with that: a signer that is away, hangs or is another's keeps no key of its own. What
   is to follow is made after it, there and then or when the keys are next looked at.
4. A revoked key is refused wherever its row is read, which is at every verification.
5. All namespaces share the keys; records of them stand in `default`, whose rules say who changes them.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import TokenKeyRevoked, TokenKeyRotated
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.token import (
    DEFAULT_NAMESPACE,
    IssuingKey,
    TokenKeyEvent,
    TokenKeyState,
    UnknownTokenKeyError,
    move_key,
    rotation_due,
)
from taskbound.flows.decision.undecided import ContendedError
from taskbound.flows.means import Actor
from taskbound.ports.store import ConflictError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction
    from taskbound.ports.token import MadeKey, TokenSigner


_log = logging.getLogger(__name__)
_TRIES: Final = 4


@dataclass(slots=True)
class _Making:
    """Keys that were made, and not yet taken."""

    signer: TokenSigner
    made: list[MadeKey]
    wanted: int = 0

    def take(self, now: Instant) -> IssuingKey:
        """One of them, as the next.

        Raises:
            ConflictError: There is none: one has to be made outside of the transaction (rule 1).
        """
        if not self.made:
            self.wanted += 1
            raise ConflictError("a key has to be made first")
        one = self.made.pop(0)
        return IssuingKey(kid=one.kid, public=one.public, state=TokenKeyState.NEXT, made=now)


class TokenKeys:
    """Rotates and revokes keys; safe from any thread, and waits for the signer."""

    def __init__(self, means: Means, signer: TokenSigner) -> None:
        """Keep what to work with."""
        self._means = means
        self._signer = signer

    def all_keys(self) -> tuple[IssuingKey, ...]:
        """Every key, in the order in which they were made."""
        with self._means.store.read() as snapshot:
            return snapshot.tokens.all_keys()

    def tend(self) -> tuple[str, ...]:
        """Do what is due (rule 3), and have the signer destroy what signs no more; the names of those.

        Raises:
            UnavailableError: The signer or the store is not there.
        """
        if rotation_due(self.all_keys(), self._means.clock.now()):
            self.rotate(Actor(name="daemon", proof="own process"), forced=False)
        return self._signer.destroy_keys()

    def rotate(self, actor: Actor, *, forced: bool) -> tuple[IssuingKey, ...]:
        """Take the next key into use, at once if that is `forced`; all keys then.

        Raises:
            UnavailableError: No key could be made, or written down.
        """
        return self._moved(partial(self._rotate, actor, forced=forced))

    def revoke(self, kid: str, actor: Actor, *, why: str) -> tuple[IssuingKey, ...]:
        """Revoke a key; all keys then. No token that it signed counts from then on (rule 4).

        Raises:
            UnknownTokenKeyError: There is none.
            WrongStateError: It was revoked before.
            UnavailableError: It could not be written down.
        """
        self._moved(partial(self._revoke, kid, actor, why))
        try:
            return self.rotate(actor, forced=False)
        except TaskboundError as error:
            _log.warning(
                "no key was made to follow a revoked one yet: %s [%s]", error.message, error.code
            )  # 3
        return self.all_keys()

    def _moved(self, work: partial[None]) -> tuple[IssuingKey, ...]:
        making = _Making(self._signer, [])
        for _ in range(_TRIES):
            made = tuple(making.made)
            try:
                self._means.store.write(partial(work, making))
            except ConflictError:
                making.made[:] = made
                if making.wanted:
                    making.made.append(self._signer.make_key())  # 1
                    making.wanted = 0
                continue
            return self.all_keys()
        raise ContendedError("another daemon kept changing the keys")

    def _rotate(self, actor: Actor, making: _Making, tx: Transaction, *, forced: bool) -> None:
        keys = tx.tokens.lock_keys(moves=True)
        now = self._means.clock.now()
        if not forced and not rotation_due(keys, now):
            return  # another daemon did it (rule 2)
        self._advance(tx, keys, actor, making, now, forced=forced)

    def _revoke(self, kid: str, actor: Actor, why: str, _making: _Making, tx: Transaction) -> None:
        keys = tx.tokens.lock_keys(moves=True)
        now = self._means.clock.now()
        key = next((one for one in keys if one.kid == kid), None)
        if key is None:
            raise UnknownTokenKeyError(f"no key is named `{kid}`")
        revoked = move_key(key, TokenKeyEvent.REVOKE, now, why)
        tx.tokens.put_key(revoked, expect=key.state)
        event = TokenKeyRevoked(key=kid, before=key.state.value, why=why, by=actor.name, proof=actor.proof)
        tx.audit.append(DEFAULT_NAMESPACE, self._means.writer, [event], now)
        following = next((one for one in keys if one.state is TokenKeyState.NEXT), None)
        if key.state is TokenKeyState.CURRENT and following is not None:
            current = move_key(following, TokenKeyEvent.USE, now)
            tx.tokens.put_key(current, expect=following.state)
            taken = TokenKeyRotated(
                current=current.kid, retired="", following="", forced=False, by=actor.name, proof=actor.proof
            )
            tx.audit.append(DEFAULT_NAMESPACE, self._means.writer, [taken], now)

    def _advance(
        self,
        tx: Transaction,
        keys: tuple[IssuingKey, ...],
        actor: Actor,
        making: _Making,
        now: Instant,
        *,
        forced: bool,
    ) -> None:
        """Have one key current and one next; another one current where that is due or forced."""
        held = {one.state: one for one in keys}
        current, following = held.get(TokenKeyState.CURRENT), held.get(TokenKeyState.NEXT)
        if following is None:
            following = making.take(now)
            tx.tokens.put_key(following, expect=None)
        retired = ""
        if current is None or forced or rotation_due((current, following), now):
            if current is not None:
                tx.tokens.put_key(move_key(current, TokenKeyEvent.RETIRE, now), expect=current.state)
                retired = current.kid
            current = move_key(following, TokenKeyEvent.USE, now)
            tx.tokens.put_key(current, expect=following.state)
            following = making.take(now)
            tx.tokens.put_key(following, expect=None)
        event = TokenKeyRotated(
            current=current.kid,
            retired=retired,
            following=following.kid,
            forced=forced,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(DEFAULT_NAMESPACE, self._means.writer, [event], now)
