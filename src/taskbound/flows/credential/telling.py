"""What a broker saw in a target, told under the fence of its lease.

1. What is told under another fence than the lease's, or after the lease, is refused with `lease-lost` and
   changes nothing: whoever has the credential now, or ended it, looks at the target anew (I-12, I-55).
2. *Minted* makes it active, and its secret is there for who asked. A canary has none, and is over with it.
   What was kept to end it is written with that, before anybody gets the secret; it is sealed, and says so.
3. *Failed* ends what was being minted, with what was met; where nothing was sent of it, it is over by that.
   Of what was being revoked it counts one attempt, which leaves no record, and changes nothing else: only the
   target's own word leads out of revoking (I-06).
4. *Renewed* moves the end of what lives still. Where a renewal failed it ends when it did before: that is
   certain where the target does not let it live longer, and else it is tried again until then.
5. *Gone* and *left* are that word, with a record of what else was done.
6. A look has no lease, as it does nothing: it counts only of what was gone.
7. What is told in words is cut short, and made visible.
8. What is told together is one transaction: a commit each would keep decisions waiting. Where any of it is
   refused nothing of it is written, and each is told by a transaction of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_rest
from taskbound.core.credential import (
    CredentialEvent,
    CredentialState,
    end_credential,
    end_unsent,
    fail_renewal,
    fail_revocation,
    is_canary,
    is_renewing,
    keep_end,
    kept_binding,
    leave_credential,
    prove_gone,
    prove_still_gone,
    reappear,
    renew_credential,
    require_lease,
    show_credential,
)
from taskbound.core.dataclass import dataclass
from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.credential.moving import Moves, lock
from taskbound.flows.credential.reasons import AGAIN, CANARY, FAILED
from taskbound.wire.secret import require_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


_WORDS: Final = 300
"""Characters of what was met that are kept."""
_NOTES: Final = 50
"""Notes of one revocation that are kept; how many more there were is said."""
_SESSIONS: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Takes what is told of one credential; each answers with the row as it stands then."""

    means: Means
    namespace: str
    credential: str
    fence: int
    tx: Transaction | None = None
    """The transaction that it is part of (rule 8); None for one of its own."""

    def minted(self, *, sealed: bool, kept: str = "") -> Credential:
        """The target shows it (rule 2).

        Args:
            sealed: Whether a sealed secret came with it.
            kept: What its target needs to end it, sealed to the broker; empty where its name is enough.

        Raises:
            BadSecretError: What was kept is not sealed for this credential.
            LeaseLostError: It is in another hand (rule 1).
            WrongStateError: It is not being minted.
            WrongTellingError: A canary came with a secret, or another credential without.
        """

        def move(row: Credential, moves: Moves) -> Credential:
            require_lease(row, self.fence, moves.now)
            if is_canary(row) is sealed:
                raise WrongTellingError("a canary has no secret, and every other credential has one")
            if kept:
                require_for(kept, kept_binding(row))
            shown = show_credential(row, self.fence, moves.now, kept=kept)
            moves.put(row, shown, CredentialEvent.SHOW)
            if not is_canary(row):
                return shown
            over = end_credential(shown, CANARY, moves.now)
            return moves.put(shown, over, CredentialEvent.END)

        return self._tell(move)

    def renewed(self) -> Credential:
        """The target lets it live longer (rule 4).

        Raises:
            LeaseLostError: It is in another hand (rule 1).
            NotRenewableError: It is over, or not being renewed.
            WrongStateError: It is not active.
        """

        def move(row: Credential, moves: Moves) -> Credential:
            after = renew_credential(row, self.fence, moves.now)
            return moves.put(row, after, CredentialEvent.RENEW)

        return self._tell(move)

    def failed(self, code: str, trouble: str, *, unsent: bool = False, lasting: bool = False) -> Credential:
        """It could not be minted, not be renewed, or not be revoked this time (rules 3 and 4).

        Args:
            code: Of what was met.
            trouble: That, in words.
            unsent: Whether nothing was sent of a mint.
            lasting: Whether a renewal is not to be tried again.

        Raises:
            LeaseLostError: It is in another hand (rule 1).
            NotRenewableError: It was being renewed, and is over.
            WrongStateError: It is not being minted, renewed or revoked.
        """
        met = _short(f"{trouble} [{code}]")

        def move(row: Credential, moves: Moves) -> Credential:
            require_lease(row, self.fence, moves.now)
            if row.state is CredentialState.MINTING and unsent:
                never = end_unsent(row, self.fence, f"{FAILED}{met}", moves.now)
                return moves.put(row, never, CredentialEvent.UNSENT)
            if row.state is CredentialState.MINTING:
                over = end_credential(row, f"{FAILED}{met}", moves.now)
                return moves.put(row, over, CredentialEvent.END)
            if is_renewing(row) and lasting:
                after = keep_end(row, self.fence, met, moves.now)
                return moves.put(row, after, CredentialEvent.KEEP, notes=(met,))
            if is_renewing(row):
                return moves.keep(row, fail_renewal(row, self.fence, met, moves.now))
            return moves.keep(row, fail_revocation(row, self.fence, met, moves.now))

        return self._tell(move)

    def gone(self, cut: int, notes: Sequence[str]) -> Credential:
        """Nothing of it is there (rule 5); how many sessions were ended, and what else was done.

        Raises:
            LeaseLostError: It is in another hand (rule 1).
            WrongStateError: It is not being revoked.
        """
        kept = tuple(map(_short, notes[:_NOTES]))
        if len(notes) > _NOTES:
            kept = (*kept, f"and {len(notes) - _NOTES} more")

        def move(row: Credential, moves: Moves) -> Credential:
            after = prove_gone(row, self.fence, moves.now)
            ended = max(0, min(cut, _SESSIONS))
            return moves.put(row, after, CredentialEvent.GONE, cut=ended, notes=kept)

        return self._tell(move)

    def left(self, until: Instant) -> Credential:
        """What is open may go on until this instant, and nothing can begin (rule 5).

        Raises:
            LeaseLostError: It is in another hand (rule 1).
            WrongStateError: It is not being revoked.
        """

        def move(row: Credential, moves: Moves) -> Credential:
            after = leave_credential(row, self.fence, until, moves.now)
            return moves.put(row, after, CredentialEvent.LEAVE)

        return self._tell(move)

    def seen(self, *, exists: bool) -> Credential:
        """What a look found under the name of one that was gone (rule 6).

        Raises:
            WrongStateError: It is not gone.
        """

        def move(row: Credential, moves: Moves) -> Credential:
            still = prove_still_gone(row, moves.now)
            if not exists:
                return moves.keep(row, still)
            after = replace(reappear(row, moves.now), why=AGAIN)
            return moves.put(row, after, CredentialEvent.REAPPEAR)

        return self._tell(move)

    def _tell(self, move: Callable[[Credential, Moves], Credential]) -> Credential:
        if self.tx is not None:
            return self._write(move, self.tx)
        return self.means.store.write(partial(self._write, move))

    def _write(self, move: Callable[[Credential, Moves], Credential], tx: Transaction) -> Credential:
        row = lock(tx, self.namespace, self.credential)
        moves = Moves(self.means, tx, self.namespace, self.means.clock.now())
        after = move(row, moves)
        moves.record()
        return after


def _short(words: str) -> str:
    """Words of a broker, as they are kept (rule 7)."""
    return escape_rest(words[:_WORDS])
