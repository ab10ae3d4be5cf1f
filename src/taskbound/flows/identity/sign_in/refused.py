"""Sign-ins that are refused: one record each, within an allowance; beyond it they are counted, by code.

Whoever is not signed in yet is anybody, so all share one allowance. Whom the issuer named stands in the
record once its word was believed, so that somebody can link them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import RefusalsDropped
from taskbound.core.audit.events.account import SignInRefused
from taskbound.core.decision import Quota, TooManyRefusalsError
from taskbound.core.identity.sign_in import place_of

if TYPE_CHECKING:
    from taskbound.core.audit import Event
    from taskbound.core.decision import Allowance
    from taskbound.core.errors import TaskboundError
    from taskbound.flows.means import Means


_NOBODY: Final = ("default", "")


class RefusedSignIns:
    """Records them; used from any thread."""

    def __init__(self, means: Means, allowance: Allowance | None) -> None:
        """Record one by one as many as this allows."""
        self._means = means
        self._quota = Quota(allowance)
        self._lock = threading.Lock()

    def note(
        self, namespace: str, issuer: str, error: TaskboundError, address: str, *, subject: str = ""
    ) -> None:
        """One more.

        Args:
            namespace: Of whoever would have signed in; empty where that is not known.
            issuer: The issuer that was asked; empty where that is not known.
            error: Why.
            address: Where the browser is.
            subject: Whom the issuer named.
        """
        now = self._means.clock.now()
        with self._lock:
            try:
                self._quota.require(*_NOBODY, now, code=error.code)
            except TooManyRefusalsError:
                return
            self._quota.take(*_NOBODY, now)
        event = SignInRefused(issuer=issuer, code=error.code, address=place_of(address), subject=subject)
        self._record(namespace or _NOBODY[0], event)

    def tell(self, *, final: bool = False) -> None:
        """Record what was counted in windows that have ended."""
        with self._lock:
            for one in self._quota.dropped(self._means.clock.now(), final=final):
                event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
                self._record(one.namespace, event)
                self._quota.told((one,))

    def _record(self, namespace: str, event: Event) -> None:
        means = self._means
        means.store.write(lambda tx: tx.audit.append(namespace, means.writer, [event], means.clock.now()))
