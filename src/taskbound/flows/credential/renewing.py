"""What the broker renews: by the store alone, as it mints (`minting`), and by a decision of its own (I-09).

1. The row is active, is being renewed, and its time is not over. It is in this broker's hand, is what was
   journaled, and its last renewal is what the record of its permit names.
2. What it rests on is read anew (`resting`), for the action that asked for the renewal: the target and its
   kind, which can be renewed, whatever may stop that, and what people signed.
3. It was asked for with the same parameters. It ends with its task, with what was asked for and with what the
   kind allows, counted from the permit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.credential import CredentialProlonged
from taskbound.core.clock import Instant
from taskbound.core.credential import CredentialState, end_in_target, is_canary, is_renewing, name_of
from taskbound.core.dataclass import dataclass
from taskbound.core.target import RENEWS, SECONDS, parameters_of
from taskbound.flows.credential.resting import (
    CredentialAlteredError,
    NotMintableError,
    read_arguments,
    read_record,
    require_action,
    require_in_hand,
    require_journaled,
    require_lifted,
    require_place,
    require_standing,
)

if TYPE_CHECKING:
    from taskbound.core.credential import Credential, Renewal
    from taskbound.flows.approval.circle import Proves
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRenew:
    """What is to be renewed, and where."""

    row: Credential
    target: StoredTarget
    name: str
    """What the target calls it."""
    ends: Instant
    """When it is to end there, in whole seconds (`core.credential.end_in_target`)."""
    record: int
    """The number of the record of its permit."""


def require_renewable(
    snapshot: Snapshot, proves: Proves, namespace: str, credential: str, *, fence: int, now: Instant
) -> ToRenew:
    """Go on only with a credential that is to be renewed now (rules 1 to 3).

    Args:
        snapshot: One state of the store, read by the broker itself.
        proves: Tells what answers are worth.
        namespace: Whose.
        credential: The row's id.
        fence: Of the lease that the broker was given.
        now: When, by the broker's clock.

    Raises:
        DeniedError: It is not, and why.
    """
    row = snapshot.credentials.credential(namespace, credential)
    renewal = row.renewal if row is not None else None
    if (
        row is None
        or renewal is None
        or row.state is not CredentialState.ACTIVE
        or not is_renewing(row)
        or is_canary(row)
    ):
        raise NotMintableError(f"`{credential}` is not being renewed")
    require_journaled(snapshot, row)
    permitted = _require_recorded(snapshot, row, renewal)
    now = max(now, permitted)  # a late clock makes nothing younger
    require_in_hand(row, fence, now)
    if now >= row.ends or not row.acknowledged:
        raise NotMintableError(f"the time of `{credential}` is over, or nobody has its secret")
    place = require_place(snapshot, row)
    if not place.kind.renewable:
        raise NotMintableError(f"credentials of the kind `{row.kind}` are not renewed")
    action = require_action(snapshot, row, place.kind, renewal.action)
    arguments = read_arguments(action.arguments, place.kind, RENEWS)
    if arguments[RENEWS] != row.id or parameters_of(action.arguments) != parameters_of(row.arguments):
        raise CredentialAlteredError("the renewal is not what its action asked for")  # 3
    asked = arguments.get(SECONDS, place.kind.seconds)
    require_standing(snapshot, row, place.kind, asked=asked, ends=renewal.ends, now=now)
    require_lifted(snapshot, proves, action, now)
    return ToRenew(
        row=row,
        target=place.target,
        name=name_of(snapshot.targets.mark(), row.id),
        ends=end_in_target(renewal.ends),
        record=renewal.record,
    )


def _require_recorded(snapshot: Snapshot, row: Credential, renewal: Renewal) -> Instant:
    """Go on only with the renewal that was written down with its permit (rule 1); when that was.

    Raises:
        CredentialAlteredError: It is another, or there is no record of it.
    """
    record = read_record(snapshot, row, renewal.record)
    event = record.event if record is not None else None
    if record is None or not isinstance(event, CredentialProlonged) or event.credential != row.id:
        raise CredentialAlteredError("no record says that the renewal was permitted")
    said = (event.target, event.of, event.identity, event.task, event.agent, event.action, event.ends)
    is_so = (row.target, row.kind, row.identity, row.task, row.agent, renewal.action, renewal.ends)
    if said != is_so:
        raise CredentialAlteredError("the renewal is not what the record of its permit says")
    return Instant(record.at)
