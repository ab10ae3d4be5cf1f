"""What came of a renewal: told to who asked for it, and recorded of its action (law 7).

1. Whoever waits for a renewal is on the connection that holds its permit; of another's, of one that was never
   asked for, and of what is not there, one error says so.
2. It has succeeded once the target was told, and failed where the target does not let the credential live
   longer, or the credential ended before. As long as the row does not know, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import canonical
from taskbound.core.credential import LIVE, RenewalState
from taskbound.core.tool.name import shown
from taskbound.flows.action import Report
from taskbound.flows.credential.errors import NotAskerError, RenewalFailedError
from taskbound.flows.credential.handing import over_of

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.ports.store import Snapshot, Transaction


def require_renewer(
    reads: Snapshot | Transaction, namespace: str, credential: str, connection: str
) -> Credential:
    """The credential, for the connection that holds the permit of its last renewal (rule 1).

    Raises:
        NotAskerError: It is another's, nobody's, or not there.
    """
    row = reads.credentials.credential(namespace, credential)
    renewal = row.renewal if row is not None else None
    action = reads.actions.action(namespace, renewal.action) if renewal is not None else None
    if row is None or action is None or action.connection != connection:
        raise NotAskerError(f"no renewal of `{shown(credential)}` was permitted on this connection")
    return row


def ended_by(row: Credential) -> Instant | None:
    """When it ends by its last renewal; None as long as nobody knows (rule 2).

    Raises:
        RenewalFailedError: The target does not let it live longer.
        CredentialEndedError: It is over.
    """
    renewal = row.renewal
    if row.state not in LIVE:
        raise over_of(row)
    if renewal is None or renewal.state is RenewalState.WANTED:
        return None
    if renewal.state is RenewalState.FAILED:
        raise RenewalFailedError(f"`{row.id}` ends when it did before: {row.trouble}")
    return row.ends


def renewal_report_of(row: Credential, action: str, connection: str) -> Report | None:
    """What came of this action by the row that it renews; nothing as long as nobody knows (rule 2)."""
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
