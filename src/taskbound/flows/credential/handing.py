"""Hands a secret out, and reports the outcome of a renewal.

Only the connection that holds the permit takes or acknowledges a credential (I-10); another's and a missing
one give the same error. The action's outcome follows from the row: succeeded once acknowledged, not sent if
no broker began, failed otherwise (law 7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import canonical
from taskbound.core.credential import LIVE, CredentialEvent, RenewalState, acknowledge, is_never_begun
from taskbound.core.tool.name import shown
from taskbound.flows.action import Report
from taskbound.flows.action.outcome import UNSENT
from taskbound.flows.credential.errors import (
    CredentialEndedError,
    MintFailedError,
    NobodyMintedError,
    NotAskerError,
    RenewalFailedError,
)
from taskbound.flows.credential.journaling import Moves, lock
from taskbound.flows.credential.naming import FAILED, NOBODY

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.errors import TaskboundError
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot, Transaction


def require_asker(
    reads: Snapshot | Transaction, namespace: str, credential: str, connection: str
) -> Credential:
    """Returns the credential for the connection with its permit; raises NotAskerError."""
    row = reads.credentials.credential(namespace, credential)
    action = reads.actions.action(namespace, row.action) if row is not None and row.action else None
    if row is None or action is None or action.connection != connection:
        raise NotAskerError(f"no credential `{shown(credential)}` was permitted on this connection")
    return row


def acknowledge_credential(
    adapters: Adapters, namespace: str, credential: str, connection: str
) -> Credential:
    def work(tx: Transaction) -> Credential:
        require_asker(tx, namespace, credential, connection)
        row = lock(tx, namespace, credential)
        if row.state not in LIVE:
            raise over_of(row)
        moves = Moves(adapters, tx, namespace, adapters.clock.now())
        after = acknowledge(row, moves.now)
        if after is not row:
            moves.put(row, after, CredentialEvent.ACKNOWLEDGE)
            moves.record()
        return after

    return adapters.store.write(work)


def over_of(row: Credential) -> TaskboundError:
    if row.why.startswith(FAILED):
        return MintFailedError(f"`{row.id}` could not be minted: {row.why.removeprefix(FAILED)}")
    if row.why == NOBODY:
        return NobodyMintedError(f"no broker has minted `{row.id}` in time")
    return CredentialEndedError(f"`{row.id}` is over: {row.why}")


def report_of(row: Credential, connection: str, now: Instant) -> Report | None:
    if row.acknowledged:
        answer = canonical({"credential": row.id, "ends": row.ends})
        return _report(row, connection, "succeeded", answer=answer)
    if row.state in LIVE:
        return None
    if is_never_begun(row, now):
        return _report(row, connection, UNSENT, note=row.why)
    return _report(row, connection, "failed", note=row.why)


def _report(
    row: Credential, connection: str, outcome: str, *, answer: bytes | None = None, note: str = ""
) -> Report:
    return Report(
        namespace=row.namespace,
        connection=connection,
        action=row.action,
        outcome=outcome,
        answer=answer,
        note=note,
    )


def require_renewer(
    reads: Snapshot | Transaction, namespace: str, credential: str, connection: str
) -> Credential:
    row = reads.credentials.credential(namespace, credential)
    renewal = row.renewal if row is not None else None
    action = reads.actions.action(namespace, renewal.action) if renewal is not None else None
    if row is None or action is None or action.connection != connection:
        raise NotAskerError(f"no renewal of `{shown(credential)}` was permitted on this connection")
    return row


def ended_by(row: Credential) -> Instant | None:
    """Returns the end by the last renewal, None while unknown."""
    renewal = row.renewal
    if row.state not in LIVE:
        raise over_of(row)
    if renewal is None or renewal.state is RenewalState.WANTED:
        return None
    if renewal.state is RenewalState.FAILED:
        raise RenewalFailedError(f"`{row.id}` ends when it did before: {row.trouble}")
    return row.ends


def renewal_report_of(row: Credential, action: str, connection: str) -> Report | None:
    renewal = row.renewal
    if renewal is None or renewal.action != action or renewal.state is RenewalState.WANTED:
        return None
    done = renewal.state is RenewalState.DONE
    return Report(
        namespace=row.namespace,
        connection=connection,
        action=action,
        outcome="succeeded" if done else "failed",
        answer=canonical({"credential": row.id, "ends": renewal.ends}) if done else None,
        note="" if done else f"it was not renewed: {row.why or row.trouble}",
    )
