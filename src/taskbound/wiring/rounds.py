"""The daemon's periodic work: sequencing, checkpoints, deliveries, deadlines.

1. Records get positions and a checkpoint within the merge delay of one second (design 6).
2. A failed round is logged once per distinct coded reason and retried; it never stops the rounds.
3. Tasks past their deadline, abandoned (`flows.task.watch`), unclaimed (`flows.task.unclaimed`) or whose
   `taskbound run` was killed are ended by the worker in its first lane.
4. Refusals beyond an agent's rate limit are recorded as a sum when their window ends.
5. Descendants of runs and gateways are scanned every two seconds (`surfaces.api.insiders`).
6. Of several daemons on one database, one sequences and requests signatures. The others check its progress
   and take over when it ends, hangs or can't reach the signer; concurrent writes are compared. Each daemon
   announces itself every second and every five seconds, a gateway's grace period, cleans up after absent
   daemons.
7. The feed has its own rounds (`following`).
8. In every round, the checkpoints seen here and by the signer must be in the store. Otherwise this process
   stops using the store, records that, and exits; no daemon starts until a person decides.
9. Shutdown doesn't wait for a signer that is still starting; a running one signs what is left.
10. Each round compares the store with the signer's memory. If the signer has not confirmed a recent enough
   state of
    the store, the daemon refuses decisions (`flows.audit.freshness`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import TamperedError
from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.flows.audit.restored import require_held, seen_of
from taskbound.flows.identity.account import end_claims
from taskbound.flows.identity.services import sweep_answers
from taskbound.flows.identity.sign_in import sweep_sign_ins
from taskbound.flows.token import sweep_asked, sweep_claims, sweep_tokens
from taskbound.ports.store import StoreBehindError
from taskbound.surfaces.api.background.credential_rounds import CredentialRounds
from taskbound.surfaces.api.server.socket import GRACE
from taskbound.wiring.following import Following

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.adapters.keys.socket import SocketSigner
    from taskbound.flows.means import TaskChange
    from taskbound.ports.audit import StoredCheckpoint
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.wiring.child import SignerChild
    from taskbound.wiring.seen import Seen
    from taskbound.wiring.store import OpenedStore


_log = logging.getLogger(__name__)
_EVERY: Final = 0.5
"""Seconds between two rounds: half of the merge delay."""
_FIRST: Final = 10.0
"""Seconds that the first round may take before clients are answered; then decisions are refused (rule 10)."""
_MARKED: Final = 32
"""Records without a place that a round counts: where there are more, these have to be signed first."""
_EXPIRE: Final = 0.25
"""Seconds between two looks for tasks whose deadline has come."""
_WATCH: Final = 4
"""Every so many of these looks is also one for heartbeats."""
_ORPHANS: Final = 8
"""Every so many of these looks is also one for runs that were killed."""
_PRESENT: Final = 4
"""Every so many of these looks the daemon says that it is there."""
_STRANGERS: Final = round(GRACE / _EXPIRE)
"""Every so many of these looks is also one for what daemons that are gone have left."""
_KEYS: Final = 120
"""Every so many of these looks is also one for keys of tokens whose time has come."""
_HOLDS: Final = 4
"""Every so many of these looks is also one for questions whose time or ground is gone."""
_CREDENTIALS: Final = 2
"""Every so many of these looks is also one for credentials."""


class Rounds:
    """Runs the periodic work."""

    def __init__(
        self,
        daemon: Daemon,
        signer: SocketSigner,
        origin: str,
        child: SignerChild | None,
        store: OpenedStore,
        seen: Seen,
    ) -> None:
        self._store = store
        self._seen = seen
        self._looked = threading.Event()
        self._daemon = daemon
        self._signer = signer
        self._origin = origin
        self._child = child
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._expiring: asyncio.Task[None] | None = None
        self._credentials = CredentialRounds(daemon)
        self._following = Following(daemon)

    async def start(self) -> None:
        """Starts the thread and waits for the first round, at most `_FIRST` seconds; call it in the loop."""
        self._daemon.watch.begin()
        self._thread.start()
        self._following.start()
        self._expiring = self._daemon.loop.create_task(self._expire())
        await asyncio.to_thread(self._looked.wait, _FIRST)

    def stop(self) -> None:
        self._ending.set()
        if self._child is not None:
            self._child.leave()  # 9
        self._thread.join()
        self._following.stop()

    def _run(self) -> None:
        self._round()
        while not self._ending.wait(_EVERY):
            self._round()
        self._round()

    def _round(self) -> None:
        daemon = self._daemon
        try:
            self._mark()
            leads = self._extend()
            self._look()
            if self._child is not None:
                self._child.start()
            self._compare()
            if not daemon.log_key:
                daemon.log_key = self._signer.verifier_key(self._origin)
                daemon.loop.call_soon_threadsafe(daemon.tell_checkpoint)
            checkpoint = self._sign() if leads else None
            if checkpoint is not None:
                daemon.adapters.freshness.confirm(checkpoint.size)  # the signer had a proof from what it knew
            daemon.signer_state = "reachable"
            daemon.signer_uid = self._signer.account
            if checkpoint is not None:
                daemon.loop.call_soon_threadsafe(daemon.tell_checkpoint)
            with daemon.adapters.store.read() as snapshot:
                newest = snapshot.audit.checkpoint()
            if newest is not None:
                if self._child is not None:
                    self._child.create = False
                daemon.deliveries.bring(newest)
        except TaskboundError as error:
            if isinstance(error, StoreBehindError):
                self._store.refuse(error)  # rule 8
            trouble = f"{error.message} [{error.code}]"
            if daemon.signer_state != trouble:  # 2
                _log.warning("a round failed: %s", trouble)
            daemon.signer_state = trouble
        except Exception as error:  # noqa: BLE001 - the thread's outermost edge, rule 2
            _log.exception("a round failed")
            daemon.signer_state = f"a round failed ({type(error).__name__}); the log says more"
        finally:
            self._signer.close()  # it serves one at a time, and other daemons ask it too
            if daemon.signer_state != "reachable" or not daemon.adapters.freshness.trouble:
                self._looked.set()  # a daemon that doesn't lead waits for the other's signature

    def _extend(self) -> bool:
        """Sequences records if this daemon is responsible (rule 6); returns whether it is."""
        adapters = self._daemon.adapters
        if not (adapters.store.leads() or adapters.freshness.late):
            return False
        self._daemon.sequencer.extend()  # also without a signer: what is late is its signature only
        return True

    def _look(self) -> None:
        if self._seen.newest is not None:
            require_held(self._store, self._seen.newest)
        with self._store.read() as snapshot:
            now = seen_of(snapshot.audit, self._origin)
        self._seen.see(now)

    def _mark(self) -> None:
        """Sets how much the signer must confirm: all records that can have a position by now (rule 10).

        A record held back by another program's PostgreSQL transaction is not counted.
        """
        with self._store.read() as snapshot:
            records = snapshot.audit.size() + len(snapshot.audit.pending(_MARKED))
        self._daemon.adapters.freshness.mark(records)

    def _compare(self) -> None:
        """Checks that the store has all that the signer confirmed, which permits decisions (rule 10)."""
        vouched = self._signer.last_signed(self._origin)
        require_held(self._store, vouched, "the signer")
        self._daemon.adapters.freshness.confirm(vouched.size)

    def _sign(self) -> StoredCheckpoint | None:
        """Requests a signature; if the signer knows more, checks whether the store has it (rule 8)."""
        try:
            return self._daemon.sequencer.sign()
        except (DeniedError, TamperedError):
            # Another daemon may have led meanwhile: what the signer knows is asked before the store is.
            require_held(self._store, self._signer.last_signed(self._origin), "the signer")
            raise

    async def _expire(self) -> None:
        turn, daemon = 0, self._daemon
        while not self._ending.is_set():
            await asyncio.sleep(_EXPIRE)
            turn += 1
            await _due(self._end(daemon.tasks.expire))
            if turn % _WATCH == 0:
                await _due(self._end(daemon.tasks.end_unclaimed))
            await _due(daemon.first(daemon.refusals.tell))
            await _due(daemon.first(daemon.proofs.tell))
            await _due(daemon.first(daemon.sign_ins.tell))
            if turn % _PRESENT == 0:
                await _due(daemon.read(daemon.strangers.attend))
            if turn % _STRANGERS == 0:
                await _due(daemon.see_strangers())
            if turn % _WATCH == 0:
                await _due(self._end(partial(daemon.keep_watch, daemon.bound_tasks())))
                await _due(self._end(self._end_claims))
            if turn % _HOLDS == 0:
                await _due(self._sweep())
            if turn % _CREDENTIALS == 0:
                await _due(self._credentials.go())
            if turn % _KEYS == 0:
                await _due(daemon.read(daemon.token.tend))
            if daemon.boot and turn % _ORPHANS == 0:
                await _due(daemon.read(daemon.look_inside))
                await _due(self._end(daemon.end_orphans))

    async def _end(self, work: Callable[[], list[TaskChange]]) -> None:
        """Ends what is due and publishes it at once, independently of other steps' failures."""
        self._daemon.tell_ended(await self._daemon.first(work))

    def _end_claims(self) -> list[TaskChange]:
        ended, moved = end_claims(self._daemon.adapters)
        if ended:
            self._daemon.views.forget()
        return moved

    async def _sweep(self) -> None:
        self._daemon.tell_held(await self._daemon.first(self._daemon.approvals.sweep))
        await self._daemon.first(self._daemon.widenings.sweep)
        await self._daemon.first(partial(sweep_claims, self._daemon.adapters))
        await self._daemon.first(self._daemon.shared_claims.sweep)
        await self._daemon.first(partial(sweep_asked, self._daemon.adapters))
        await self._daemon.first(partial(sweep_tokens, self._daemon.adapters))
        await self._daemon.first(partial(sweep_answers, self._daemon.adapters))
        await self._daemon.first(partial(sweep_sign_ins, self._daemon.adapters))


async def _due(step: Awaitable[object]) -> None:
    try:
        await step
    except TaskboundError as error:
        _log.warning("what is due could not be done: %s [%s]", error.message, error.code)
    except Exception:  # noqa: BLE001 - the task's outermost edge, rule 2
        _log.exception("what is due could not be done")
