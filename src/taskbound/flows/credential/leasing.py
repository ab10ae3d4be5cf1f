"""The broker's next steps, what it reports of them, and its sweeps of targets.

Of `leasing`:

1. A step is what the row says to be due now (`core.credential.step_of`). What another one has in hand, what
   is not due and what is not there is left out, and is no error: the broker read the rows a while ago.
2. A mint is given only while somebody waits for its secret, or of a canary, which the broker uses itself:
   what nobody waits for is never in a target.
3. A renewal is given whoever waits for what comes of it: it is of what somebody has.
4. Revoking and looking are given to whoever asks, also while everything is stopped.
5. All of what is given is one transaction; rows are locked in the order of their names.

Of `telling`:

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

Of `sweeping`:

1. A name that is not exactly one of this installation's is nobody's business, whatever it begins with.
2. What lives or is being revoked is left as it is; so is what was over only after the sweep began, and what
   is of another target: its own sweep finds it.
3. What was gone and is there is revoked again. Of what can't be revoked that is said already.
4. What has no row in any namespace gets one that begins with its end: the row comes before the target is
   called, so that such a name is of a store that was lost or restored. Who it was for nobody knows any more.
5. So many names are looked at in one transaction.

Of `reconciled`:

1. What it tells of is over: everything of an older epoch was refused until then. It moves no row.
2. The record and the note that it is written are one transaction, so that it is written once, however often
   and to however many daemons it is told. What is restored again has neither, and is of another epoch.
3. It is told until it is written, and nothing is minted before (`surfaces.broker.memory`).
4. Who watches over the agents hears of it.
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


_GROUP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What was seen, and where."""

    namespace: str
    target: str
    identity: str
    """Digest of the target's identity, as it was looked through."""
    names: Collection[str]
    begun: Instant
    """No later than when it began."""


def take_sweep(means: Means, sweep: Sweep) -> tuple[str, ...]:
    """Revoke what is there and should not be; ids of that."""
    with means.store.read() as snapshot:
        mark = snapshot.targets.mark()
    if not mark:
        return ()
    found = sorted(_ours(mark, sweep.names))
    revoked: list[str] = []
    for start in range(0, len(found), _GROUP):  # 5
        group = found[start : start + _GROUP]
        revoked += means.store.write(partial(_take, means, sweep, group))
    return tuple(revoked)


def _ours(mark: str, names: Collection[str]) -> set[str]:
    """Ids of the names that are ours (rule 1)."""
    found = set()
    for name in names:
        try:
            found.add(id_of(mark, name))
        except ForeignNameError:
            continue
    return found


def _take(means: Means, sweep: Sweep, ids: list[str], tx: Transaction) -> list[str]:
    space = sweep.namespace
    moves = Moves(means, tx, space, means.clock.now())
    others = sorted({one.namespace for one in tx.targets.all_targets()} - {space})
    revoked: list[str] = []
    for name in ids:
        row = tx.credentials.lock_credential(space, name)
        if row is None:
            if all(tx.credentials.credential(other, name) is None for other in others):  # 4
                _begin_with_its_end(tx, moves, sweep, name)
                revoked.append(name)
        elif _is_back(row, sweep):
            after = replace(reappear(row, moves.now), why=AGAIN)  # 3
            moves.put(row, after, CredentialEvent.REAPPEAR)
            revoked.append(name)
    moves.record()
    return revoked


def _is_back(row: Credential, sweep: Sweep) -> bool:
    """Whether it was over before the sweep began, and is there (rules 2 and 3)."""
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
    """What a broker tells."""

    epoch: int
    since: int
    """Instant at which it was found, by the broker's clock."""
    why: str
    ended: int
    targets: int


def take_reconciled(means: Means, namespace: str, told: Reconciled) -> bool:
    """Record it (rules 2 and 4); whether it was not recorded before.

    Raises:
        WrongTellingError: That can be said of no store.
    """
    counts = (told.epoch - 1, told.since - 1, told.ended, told.targets)
    if not all(0 <= one < _MOST for one in counts) or not 0 < len(told.why) <= _WORDS:
        raise WrongTellingError("what is told of the store's epoch can't be so")
    if not means.store.write(partial(_record, means, namespace, told)):
        return False
    news = {
        "kind": "taskbound-store-reconciled",
        "epoch": told.epoch,
        "since": told.since,
        "why": told.why,
        "ended": told.ended,
        "say": "taskbound audit tail",
    }
    tell(means, namespace, news)
    return True


def _record(means: Means, namespace: str, told: Reconciled, tx: Transaction) -> bool:
    since = Instant(told.since)
    if tx.targets.has_epoch(told.epoch, since):
        return False
    tx.targets.put_epoch(told.epoch, since)
    event = StoreReconciled(
        epoch=told.epoch, since=told.since, why=told.why, ended=told.ended, targets=told.targets
    )
    tx.audit.append(namespace, means.writer, [event], means.clock.now())
    return True
