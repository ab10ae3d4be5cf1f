"""What a broker gets to do next: a step of a credential, and the fence of its lease (I-55).

1. A step is what the row says to be due now (`core.credential.step_of`). What another one has in hand, what
   is not due and what is not there is left out, and is no error: the broker read the rows a while ago.
2. A mint is given only while somebody waits for its secret, or of a canary, which the broker uses itself:
   what nobody waits for is never in a target.
3. A renewal is given whoever waits for what comes of it: it is of what somebody has.
4. Revoking and looking are given to whoever asks, also while everything is stopped.
5. All of what is given is one transaction; rows are locked in the order of their names.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.credential import (
    CredentialEvent,
    Step,
    begin_mint,
    begin_renewal,
    begin_revocation,
    is_canary,
    is_leased,
    step_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.flows.credential.moving import Moves

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.credential import Credential
    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction


MOST: Final = 64
"""Credentials that are leased by one question."""


class TooManyAtOnceError(MalformedError):
    """More is asked for than one question may lease."""

    code = "too-many-at-once"
    remedy = f"ask for {MOST} at most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """One step that is the asker's to do."""

    credential: Credential
    """As it stands with its lease."""
    step: Step


def lease(
    means: Means,
    namespace: str,
    credentials: Collection[str],
    waited_for: Collection[str],
    tx: Transaction | None = None,
) -> tuple[Leased, ...]:
    """Give out what is due of these.

    Args:
        means: What flows are given.
        namespace: Whose.
        credentials: Ids; `MOST` at most.
        waited_for: Ids of those whose secret somebody waits for (rule 2).
        tx: The transaction that it is part of; None for one of its own.

    Raises:
        TooManyAtOnceError: It is more.
    """
    wanted = frozenset(credentials)
    if len(wanted) > MOST:
        raise TooManyAtOnceError(f"{len(wanted)} credentials are asked for at once")
    work = partial(_lease, means, namespace, sorted(wanted), frozenset(waited_for))
    return means.store.write(work) if tx is None else work(tx)


def _lease(
    means: Means, namespace: str, wanted: list[str], waited_for: frozenset[str], tx: Transaction
) -> tuple[Leased, ...]:
    moves = Moves(means, tx, namespace, means.clock.now())
    given: list[Leased] = []
    for name in wanted:  # 5
        row = tx.credentials.lock_credential(namespace, name)
        if row is None or is_leased(row, moves.now):
            continue  # 1
        step = step_of(row, moves.now)
        if step is Step.MINT and (name in waited_for or is_canary(row)):  # 2
            after = moves.put(row, begin_mint(row, moves.now), CredentialEvent.MINT)
            given.append(Leased(credential=after, step=step))
        elif step is Step.RENEW:
            after = moves.keep(row, begin_renewal(row, moves.now))
            given.append(Leased(credential=after, step=step))
        elif step is Step.REVOKE:
            after = moves.keep(row, begin_revocation(row, moves.now))
            given.append(Leased(credential=after, step=step))
        elif step is Step.LOOK:
            given.append(Leased(credential=row, step=step))
    moves.record()
    return tuple(given)
