"""Which credential an action asked for, or asked to renew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.credential import credential_of
from taskbound.core.target import RENEWS
from taskbound.core.tool import credential_kind

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Transaction


def credential_with(reads: Snapshot | Transaction, action: StoredAction) -> str:
    """Id of the credential that was written down or renewed with the permit of this; empty where none was."""
    if credential_kind(action.tool) is None:
        return ""
    own = credential_of(action.id)
    renews = _renews(action)
    return renews if renews and reads.credentials.credential(action.namespace, own) is None else own


def renewed_with(reads: Snapshot | Transaction, namespace: str, action: str) -> Credential | None:
    """The credential whose last renewal this action is; None where there is none."""
    kept = reads.actions.action(namespace, action)
    if kept is None or credential_kind(kept.tool) is None:
        return None
    row = reads.credentials.credential(namespace, _renews(kept))
    return row if row is not None and row.renewal is not None and row.renewal.action == action else None


def _renews(action: StoredAction) -> str:
    found = parse_object(action.arguments).get(RENEWS)
    return found if isinstance(found, str) else ""
