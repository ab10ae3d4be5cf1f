"""What one worker does in a target by one order, and what it tells of that.

1. The order names a row. What is done is made of the row and of what it speaks of, read anew.
2. Nothing begins in a target without a grip on the lease that lasts for it (`grip`); that is asked for right
   before each call. A worker that lost its grip does and says nothing more: whoever has the row then looks
   anew (I-55).
3. A mint is remembered before the target is called (`memory`). Its secret is held until the daemon has it, or
   does not take it, and by nobody afterwards: what was minted then ends with the row's lease (K9).
4. A canary is used by the broker itself, and handed to nobody. Where its kind can be renewed, that is tried
   too: what a target can't do is known before anybody asks for it.
5. What failed is told with its code, in our words, and whether that lasts; of a mint also whether nothing was
   sent of it. What can't be told is told by the lease's end.
6. What has no name of ours in its target is kept with the row, and ended by that (`keeping`).
7. What was minted in another target than the one that has its name now is not looked for in that: it would be
   found gone (I-07).
8. What was begun before the store was found restored is handed out to nobody, and counts as not renewed: the
   row that it was made of may be another one now (`memory`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from taskbound.core.credential import (
    CredentialState,
    LeaseLostError,
    end_in_target,
    is_canary,
    latest_end,
    name_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.flows.credential.minting import require_mintable
from taskbound.flows.credential.renewing import require_renewable
from taskbound.ports.target import Gone, Keeps, Shown, TargetUnreachedError
from taskbound.surfaces.broker.errors import OtherTargetError
from taskbound.surfaces.broker.targets import called
from taskbound.wire.broker import TellFailed, TellGone, TellLeft, TellMinted, TellRenewed, TellSeen

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.flows.approval.circle import Proves
    from taskbound.flows.credential.minting import Mintable
    from taskbound.ports.store import Readable, Snapshot
    from taskbound.ports.target import Minted, StoredTarget, Target
    from taskbound.surfaces.broker.authority import Authority, Told
    from taskbound.surfaces.broker.grip import Grip, Watch
    from taskbound.surfaces.broker.keeping import Keeping
    from taskbound.surfaces.broker.memory import Memory
    from taskbound.surfaces.broker.targets import Targets


_log = logging.getLogger(__name__)
PATIENCE: Final = 4.5
"""Seconds that one call of a target may take: what hung there, and what is done once it is back, are within
the five that may pass from its return (`core.credential.due`, rule 3)."""
_WORDS: Final = 300
"""Characters of what is told of a failure."""
_NOTES: Final = 50
_NOTHING: Final = Shown(exists=False, open=0)


class Hand(Protocol):
    """Seals what was minted to who asked."""

    def __call__(self, minted: Minted, *, public: str, namespace: str, target: str, credential: str) -> str:
        """As only the holder of this key can read it. MUST raise `TaskboundError` where that can't be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every worker works with."""

    store: Readable
    watch: Watch
    authority: Authority
    targets: Targets
    memory: Memory
    proves: Proves
    hand: Hand
    keeping: Keeping


def mint(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Mint it, and hand it over (rules 1 to 4)."""
    try:
        found, target, epoch = _mintable(desk, namespace, credential, grip)
        patience = grip.patience(PATIENCE)
    except LeaseLostError as error:
        _log.info("%s is not minted: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error, unsent=True)
        return
    try:
        made = called(lambda: target.mint(found.order, found.kind.grants, patience=patience))
    except TaskboundError as error:
        unsent = isinstance(error, TargetUnreachedError)
        _fail(desk, namespace, credential, grip, error, unsent=unsent)
        return
    try:
        kept = desk.keeping.keep(found.row, target, made)  # 6
        sealed = _handed(desk, found, target, made, grip)
        desk.memory.require_epoch(epoch)  # 8
    except LeaseLostError as error:
        _log.info("%s is not handed out: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)
        return
    if _tell(desk, namespace, TellMinted(credential=credential, fence=grip.fence, sealed=sealed, kept=kept)):
        desk.keeping.told(found.row)


def _mintable(desk: Desk, namespace: str, credential: str, grip: Grip) -> tuple[Mintable, Target[Any], int]:
    """What is to be minted, remembered (rule 3), where, and in which epoch; nothing was sent so far."""
    with desk.store.read() as snapshot:
        now = desk.watch.clock.now()
        found = require_mintable(snapshot, desk.proves, namespace, credential, fence=grip.fence, now=now)
    target = desk.targets.open(found.target)
    return found, target, desk.memory.note(found.row.record)


def _handed(desk: Desk, found: Mintable, target: Target[Any], made: Minted, grip: Grip) -> str:
    row = found.row
    if is_canary(row):
        patience = grip.patience(PATIENCE)
        called(lambda: target.use(made, patience=patience))  # 4
        if found.kind.renewable:
            left = grip.patience(PATIENCE)
            called(lambda: target.renew(found.order.name, found.order.ends, patience=left))
        return ""
    return desk.hand(
        made, public=row.recipient, namespace=row.namespace, target=row.target, credential=row.id
    )


def renew(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Let it live longer in its target, and say so."""
    try:
        with desk.store.read() as snapshot:
            now = desk.watch.clock.now()
            found = require_renewable(snapshot, desk.proves, namespace, credential, fence=grip.fence, now=now)
        target = desk.targets.open(found.target)
        epoch = desk.memory.note(found.record)  # 3
        patience = grip.patience(PATIENCE)
        called(lambda: target.renew(found.name, found.ends, patience=patience))
        desk.memory.require_epoch(epoch)  # 8
    except LeaseLostError as error:
        _log.info("%s is not renewed: %s", credential, error.message)
        return  # 2
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)  # 5
        return
    _tell(desk, namespace, TellRenewed(credential=credential, fence=grip.fence))


def revoke(desk: Desk, namespace: str, credential: str, grip: Grip) -> None:
    """Revoke it, and say what the target showed afterwards."""
    try:
        with desk.store.read() as snapshot:
            row = snapshot.credentials.credential(namespace, credential)
            mark = snapshot.targets.mark()
            stored = _target_of(snapshot, row)
        if row is None or row.state is not CredentialState.REVOKING or row.lease.fence != grip.fence:
            return
        target = _opened(desk, row, stored)
        patience, name = grip.patience(PATIENCE), name_of(mark, row.id)
        ends = end_in_target(latest_end(row))
        if isinstance(target, Keeps):
            now = desk.watch.clock.now()
            found = desk.keeping.end(row, target, ends=ends, now=now, patience=patience)  # 6
        else:
            found = called(lambda: target.revoke(name, ends=ends, patience=patience))
    except LeaseLostError as error:
        _log.info("%s is not revoked by this worker: %s", credential, error.message)
        return
    except TaskboundError as error:
        _fail(desk, namespace, credential, grip, error)
        return
    if isinstance(found, Gone):
        notes = tuple(one[:_WORDS] for one in found.notes[:_NOTES])
        told: Told = TellGone(credential=row.id, fence=grip.fence, cut=found.cut, notes=notes)
    else:
        told = TellLeft(credential=row.id, fence=grip.fence, until=found.until)
    if _tell(desk, namespace, told):
        desk.keeping.told(row)


def look_for(desk: Desk, namespace: str, credential: str) -> bool:
    """Look whether what was gone is gone still, and say so; whether the target could be asked.

    It takes no lease, as it does nothing. What is no longer gone, or was swept meanwhile, is no trouble.
    """
    try:
        with desk.store.read() as snapshot:
            row = snapshot.credentials.credential(namespace, credential)
            mark = snapshot.targets.mark()
            stored = _target_of(snapshot, row)
        if row is None or row.state is not CredentialState.REVOKED:
            return True
        target, name = _opened(desk, row, stored), name_of(mark, row.id)
        shown = _NOTHING
        if not isinstance(target, Keeps):  # 6: it is gone by what its one mint answered; none is on its way
            shown = called(lambda: target.look(name, patience=PATIENCE))
    except TaskboundError as error:
        _log.info("%s can't be looked for: %s [%s]", credential, error.message, error.code)
        return False
    _tell(desk, namespace, TellSeen(credential=credential, exists=shown.exists or shown.open > 0))
    return True


def _target_of(snapshot: Snapshot, row: Credential | None) -> StoredTarget | None:
    return None if row is None else snapshot.targets.target(row.namespace, row.target)


def _opened(desk: Desk, row: Credential, stored: StoredTarget | None) -> Target[Any]:
    """The target in which it was minted (rule 7).

    Raises:
        OtherTargetError: It is another one now.
        TaskboundError: It can't be opened.
    """
    if stored is None or stored.identity != row.identity:
        raise OtherTargetError(f"`{row.target}` is another target now than the one it was minted in")
    return desk.targets.open(stored)


def _fail(
    desk: Desk, namespace: str, credential: str, grip: Grip, error: TaskboundError, *, unsent: bool = False
) -> None:
    """Say what was met (rule 5); what lasts until somebody changes something, louder."""
    lasting = not isinstance(error, UnavailableError)
    level = logging.WARNING if lasting else logging.INFO
    _log.log(level, "%s: %s [%s]", credential, error.message, error.code)
    trouble = error.message[:_WORDS]
    told = TellFailed(
        credential=credential,
        fence=grip.fence,
        code=error.code,
        trouble=trouble,
        unsent=unsent,
        lasting=lasting,
    )
    _tell(desk, namespace, told)


def _tell(desk: Desk, namespace: str, told: Told) -> bool:
    """Say what was seen; whether that is known to be written."""
    try:
        desk.authority.tell(namespace, told)
    except TaskboundError as error:  # 5
        _log.info("%s: what was seen is not taken: %s", told.credential, error.message)
        return False
    return True
