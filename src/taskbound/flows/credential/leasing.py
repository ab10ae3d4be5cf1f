"""Leases the broker's next steps, takes its reports, and takes its sweeps of targets.

- A mint is leased only while a caller waits for its secret, or for a canary. Revoking and looking are leased
  to any broker, also while everything is stopped. Rows are locked in name order.
- A report under another fence or after the lease is refused with `lease-lost` and changes nothing; the
  current holder looks at the target anew (I-12, I-55).
- *Minted* activates it; what its revocation needs is stored sealed before the secret is handed out. A failed
  revocation only counts an attempt, without a record: only the target's own answer ends revoking (I-06).
- A sweep considers only names that are exactly this installation's, and leaves alone credentials that live,
  are being revoked, ended after it began or belong to another target. A name without a row in any namespace
  gets a row that begins with its end, because it comes from a lost or restored store.
- A reconciliation's record and note are one transaction, so it is written once however often a broker reports
  it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_rest
from taskbound.core.audit.events.work import CredentialMoved, StoreReconciled
from taskbound.core.clock import Instant
from taskbound.core.credential import (
    Credential,
    CredentialEvent,
    CredentialState,
    ForeignNameError,
    Step,
    begin_mint,
    begin_renewal,
    begin_revocation,
    due_of,
    end_credential,
    end_unsent,
    fail_renewal,
    fail_revocation,
    id_of,
    is_canary,
    is_leased,
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
    step_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.flows.credential.errors import WrongTellingError
from taskbound.flows.credential.journaling import Moves, lock
from taskbound.flows.credential.naming import AGAIN, CANARY, FAILED, WITHOUT_ROW
from taskbound.flows.identity.monitors import tell
from taskbound.wire.tool import require_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Transaction


MOST: Final = 64
"""Credentials that are leased by one question."""


class TooManyAtOnceError(MalformedError):
    """More leases are requested than one request may get."""

    code = "too-many-at-once"
    remedy = f"ask for {MOST} at most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A step that the broker holds a lease for."""

    credential: Credential
    """As it stands with its lease."""
    step: Step


def lease(
    adapters: Adapters,
    namespace: str,
    credentials: Collection[str],
    waited_for: Collection[str],
    tx: Transaction | None = None,
) -> tuple[Leased, ...]:
    """Leases at most `MOST` due steps; a caller waits for the secrets of `waited_for`."""
    wanted = frozenset(credentials)
    if len(wanted) > MOST:
        raise TooManyAtOnceError(f"{len(wanted)} credentials are asked for at once")
    work = partial(_lease, adapters, namespace, sorted(wanted), frozenset(waited_for))
    return adapters.store.write(work) if tx is None else work(tx)


def _lease(
    adapters: Adapters, namespace: str, wanted: list[str], waited_for: frozenset[str], tx: Transaction
) -> tuple[Leased, ...]:
    moves = Moves(adapters, tx, namespace, adapters.clock.now())
    given: list[Leased] = []
    for name in wanted:
        row = tx.credentials.lock_credential(namespace, name)
        if row is None or is_leased(row, moves.now):
            continue
        step = step_of(row, moves.now)
        if step is Step.MINT and (name in waited_for or is_canary(row)):
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


_WORDS: Final = 300
"""Characters of what was met that are kept."""
_NOTES: Final = 50
"""Notes of one revocation that are kept; how many more there were is said."""
_SESSIONS: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerReport:
    """Takes reports on one credential; each method returns the row afterwards."""

    adapters: Adapters
    namespace: str
    credential: str
    fence: int
    tx: Transaction | None = None
    """The transaction that it is part of; None for one of its own."""

    def minted(self, *, sealed: bool, kept: str = "") -> Credential:
        """The target shows it; `kept` is what its revocation needs, sealed to the broker, or ''."""

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
        def move(row: Credential, moves: Moves) -> Credential:
            after = renew_credential(row, self.fence, moves.now)
            return moves.put(row, after, CredentialEvent.RENEW)

        return self._tell(move)

    def failed(self, code: str, trouble: str, *, unsent: bool = False, lasting: bool = False) -> Credential:
        """`unsent` says that no mint was sent, `lasting` that a renewal must not be retried."""
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
        """Nothing of the credential is left; `cut` sessions were ended."""
        kept = tuple(map(_short, notes[:_NOTES]))
        if len(notes) > _NOTES:
            kept = (*kept, f"and {len(notes) - _NOTES} more")

        def move(row: Credential, moves: Moves) -> Credential:
            after = prove_gone(row, self.fence, moves.now)
            ended = max(0, min(cut, _SESSIONS))
            return moves.put(row, after, CredentialEvent.GONE, cut=ended, notes=kept)

        return self._tell(move)

    def left(self, until: Instant) -> Credential:
        """Open sessions may last until this instant and none can begin."""

        def move(row: Credential, moves: Moves) -> Credential:
            after = leave_credential(row, self.fence, until, moves.now)
            return moves.put(row, after, CredentialEvent.LEAVE)

        return self._tell(move)

    def seen(self, *, exists: bool) -> Credential:
        """The result of a look at a credential that was gone. Raises WrongStateError if it is not gone."""

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
        return self.adapters.store.write(partial(self._write, move))

    def _write(self, move: Callable[[Credential, Moves], Credential], tx: Transaction) -> Credential:
        row = lock(tx, self.namespace, self.credential)
        moves = Moves(self.adapters, tx, self.namespace, self.adapters.clock.now())
        after = move(row, moves)
        moves.record()
        return after


def _short(words: str) -> str:
    return escape_rest(words[:_WORDS])


_GROUP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The names that a broker found in a target."""

    namespace: str
    target: str
    identity: str
    """Digest of the target's identity, as it was looked through."""
    names: Collection[str]
    begun: Instant
    """No later than when it began."""


def take_sweep(adapters: Adapters, sweep: Sweep) -> tuple[str, ...]:
    """Revokes found credentials that must not exist and returns their ids."""
    with adapters.store.read() as snapshot:
        mark = snapshot.targets.mark()
    if not mark:
        return ()
    found = sorted(_ours(mark, sweep.names))
    revoked: list[str] = []
    for start in range(0, len(found), _GROUP):
        group = found[start : start + _GROUP]
        revoked += adapters.store.write(partial(_take, adapters, sweep, group))
    return tuple(revoked)


def _ours(mark: str, names: Collection[str]) -> set[str]:
    found = set()
    for name in names:
        try:
            found.add(id_of(mark, name))
        except ForeignNameError:
            continue
    return found


def _take(adapters: Adapters, sweep: Sweep, ids: list[str], tx: Transaction) -> list[str]:
    space = sweep.namespace
    moves = Moves(adapters, tx, space, adapters.clock.now())
    others = sorted({one.namespace for one in tx.targets.all_targets()} - {space})
    revoked: list[str] = []
    for name in ids:
        row = tx.credentials.lock_credential(space, name)
        if row is None:
            if all(tx.credentials.credential(other, name) is None for other in others):
                _begin_with_its_end(tx, moves, sweep, name)
                revoked.append(name)
        elif _is_back(row, sweep):
            after = replace(reappear(row, moves.now), why=AGAIN)
            moves.put(row, after, CredentialEvent.REAPPEAR)
            revoked.append(name)
    moves.record()
    return revoked


def _is_back(row: Credential, sweep: Sweep) -> bool:
    return row.state is CredentialState.REVOKED and row.target == sweep.target and row.ended <= sweep.begun


def _begin_with_its_end(tx: Transaction, moves: Moves, sweep: Sweep, name: str) -> None:
    now = moves.now
    row = Credential(
        namespace=sweep.namespace,
        id=name,
        target=sweep.target,
        kind="",
        identity=sweep.identity,
        task="",
        agent="",
        action="",
        arguments=b"{}",
        recipient="",
        state=CredentialState.REVOKING,
        made=now,
        ends=now,
        due=now,
        ended=now,
        why=WITHOUT_ROW,
    )
    tx.credentials.insert_credentials([replace(row, due=due_of(row, now))])
    moves.note(
        CredentialMoved(
            credential=name,
            target=sweep.target,
            task="",
            before="",
            after=row.state.value,
            event=CredentialEvent.REAPPEAR.value,
            why=WITHOUT_ROW,
        )
    )


_MOST: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """A broker's report that it reconciled targets after a change of epoch."""

    epoch: int
    since: int
    """Instant at which it was found, by the broker's clock."""
    why: str
    ended: int
    targets: int


def take_reconciled(adapters: Adapters, namespace: str, told: Reconciled) -> bool:
    """Records it; returns whether it is new. Raises WrongTellingError if impossible."""
    counts = (told.epoch - 1, told.since - 1, told.ended, told.targets)
    if not all(0 <= one < _MOST for one in counts) or not 0 < len(told.why) <= _WORDS:
        raise WrongTellingError("the report about the store's epoch is invalid")
    if not adapters.store.write(partial(_record, adapters, namespace, told)):
        return False
    news = {
        "kind": "taskbound-store-reconciled",
        "epoch": told.epoch,
        "since": told.since,
        "why": told.why,
        "ended": told.ended,
        "say": "taskbound audit tail",
    }
    tell(adapters, namespace, news)
    return True


def _record(adapters: Adapters, namespace: str, told: Reconciled, tx: Transaction) -> bool:
    since = Instant(told.since)
    if tx.targets.has_epoch(told.epoch, since):
        return False
    tx.targets.put_epoch(told.epoch, since)
    event = StoreReconciled(
        epoch=told.epoch, since=told.since, why=told.why, ended=told.ended, targets=told.targets
    )
    tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
    return True
