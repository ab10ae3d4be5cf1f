"""Operations on what proves workloads: selectors, issuers and trust domains.

1. An issuer is asked by one thread, once at a time; concurrent callers share the answer. An issuer that hangs
   or trickles occupies one thread and delays only callers with its tokens.
2. A few callers wait for an issuer at once; more are refused, and so is asking more issuers than the limit.
   Only registered issuers are asked, so strangers cannot invent them.
3. A caller whose key is known but old waits `PATIENCE` from the request; then the key counts as after a
   failure of the issuer. Such a caller is not refused for the limit.
4. A thread ends with its issuer's answer, and never delays the end of the daemon.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.selector import parse_selector, selector_id
from taskbound.core.identity.trust import BOUND, UnknownTrustError, parse_trust
from taskbound.flows.identity.account import add_identity_issuer, drop_identity_issuer
from taskbound.flows.identity.agent import add_selector, drop_selector
from taskbound.flows.identity.workload import add_trust, remove_trust
from taskbound.ports.identity import Need
from taskbound.surfaces.api.auth.sign_in import beside
from taskbound.surfaces.api.server.operation import as_giver, from_snapshot, operation
from taskbound.surfaces.api.server.worker import OverloadedError
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.core.identity.selector import Selector
    from taskbound.core.identity.trust import Trust
    from taskbound.ports.identity import IssuerFetch
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, Reading
    from taskbound.wire.envelope import Answer


@operation(wire.AddSelector)
async def _put_selector(daemon: Daemon, connection: Connection, ask: wire.AddSelector) -> Answer:
    selector = parse_selector(
        connection.namespace,
        ask.agent,
        kind=ask.kind,
        issuer=ask.issuer,
        subjects=ask.subjects,
        claims=[(one.pointer, one.text) for one in ask.claims],
    )

    def work() -> str:
        actor, owns = daemon.require_giver(connection)
        return add_selector(daemon.adapters, selector, actor=actor, owns=owns)

    return Done(detail=await daemon.first(work))


@as_giver(wire.RemoveSelector)
def _remove_selector(act: GiverAct, ask: wire.RemoveSelector) -> None:
    drop_selector(act.adapters, act.namespace, ask.agent, ask.selector, actor=act.actor, owns=act.owns)


@from_snapshot(wire.ListSelectors)
def _list_selectors(reading: Reading, ask: wire.ListSelectors) -> Answer:
    found = reading.snapshot.workloads.selectors(reading.namespace)
    return wire.SelectorRows(rows=tuple(_row(one) for one in found if ask.agent in {"", one.agent}))


@operation(wire.AddIdentityIssuer)
async def _put_issuer(daemon: Daemon, connection: Connection, ask: wire.AddIdentityIssuer) -> Answer:
    issuer = parse_identity_issuer(
        connection.namespace,
        ask.name,
        issuer=ask.issuer,
        audience=ask.audience,
        use=ask.use,
        keys=ask.keys.encode(),
        keys_at=ask.keys_at,
        private=ask.private,
        token_at=ask.token_at,
        secret_file=ask.secret_file,
    )

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        add_identity_issuer(daemon.adapters, issuer, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


@as_giver(wire.RemoveIdentityIssuer)
def _remove_issuer(act: GiverAct, ask: wire.RemoveIdentityIssuer) -> None:
    drop_identity_issuer(act.adapters, act.namespace, ask.name, actor=act.actor, owns=act.owns)


@operation(wire.ListIdentityIssuers)
async def _list_issuers(daemon: Daemon, connection: Connection, ask: wire.ListIdentityIssuers) -> Answer:
    troubles: dict[str, str] = {}
    if ask.look:
        troubles = await beside(
            (connection.namespace, ""), partial(daemon.sign_ins.troubles, connection.namespace)
        )

    def read() -> Answer:
        with daemon.adapters.store.read() as snapshot:
            found = snapshot.workloads.identity_issuers(connection.namespace)
        rows = (_issuer_row(one, troubles.get(one.name, "")) for one in found)
        return wire.IdentityIssuerRows(rows=tuple(rows))

    return await daemon.read(read)


def _issuer_row(issuer: IdentityIssuer, trouble: str) -> wire.IdentityIssuerRow:
    keys = parse_foreign_jwks(issuer.keys) if issuer.keys else ()
    return wire.IdentityIssuerRow(
        name=issuer.name,
        issuer=issuer.issuer,
        audience=issuer.audience,
        use=issuer.use.value,
        keys=tuple(sorted({one.kid or one.thumbprint for one in keys})),
        keys_at=issuer.keys_at,
        private=issuer.private,
        token_at=issuer.token_at,
        secret_file=issuer.secret_file,
        claim=issuer.groups_at,
        groups=tuple(f"{value}={group}" for value, group in issuer.groups),
        trouble=trouble,
    )


def _row(selector: Selector) -> wire.SelectorRow:
    return wire.SelectorRow(
        id=selector_id(selector),
        agent=selector.agent,
        kind=selector.kind.value,
        issuer=selector.issuer,
        subjects=selector.subjects,
        claims=tuple(
            wire.ClaimText(pointer=pointer, text=text) for pointer, texts in selector.claims for text in texts
        ),
    )


@operation(wire.AddTrust)
async def _put_trust(daemon: Daemon, connection: Connection, ask: wire.AddTrust) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        trust = parse_trust(
            connection.namespace,
            ask.domain,
            source=ask.source,
            place=ask.place,
            endpoint=ask.endpoint,
            private=ask.private,
            bound=seconds(ask.bound) if ask.bound else BOUND,
        )
        add_trust(daemon.adapters, trust, bootstrap=ask.bundle.encode(), actor=actor, owns=owns)

    await daemon.first(work)
    daemon.trusts.look()
    return Done()


@operation(wire.RemoveTrust)
async def _take_trust_away(daemon: Daemon, connection: Connection, ask: wire.RemoveTrust) -> Answer:
    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        remove_trust(daemon.adapters, connection.namespace, ask.domain, actor=actor, owns=owns)

    await daemon.first(work)
    daemon.trusts.look()
    return Done()


@from_snapshot(wire.ListTrusts)
def _list_trusts(reading: Reading, _ask: wire.ListTrusts) -> Answer:
    now = reading.adapters.clock.now()
    found = reading.snapshot.trusts.trusts(reading.namespace)
    return wire.TrustRows(rows=tuple(_trust_row(reading.daemon, one, now) for one in found))


@from_snapshot(wire.ShowTrust)
def _show_trust(reading: Reading, ask: wire.ShowTrust) -> Answer:
    now = reading.adapters.clock.now()
    found = reading.snapshot.trusts.trust(reading.namespace, ask.domain)
    if found is None:
        raise UnknownTrustError("the trust domain is not believed here")
    known = found.known
    return wire.TrustDetail(
        row=_trust_row(reading.daemon, found, now),
        digest=known.digest,
        certificates=tuple(hashlib.sha256(one).hexdigest() for one in known.x509),
        keys=tuple(str(parse_object(one)["kid"]) for one in known.jwt),
    )


def _trust_row(daemon: Daemon, trust: Trust, now: Instant) -> wire.TrustRow:
    known = trust.known
    return wire.TrustRow(
        domain=trust.domain,
        source=trust.source.value,
        place=trust.place,
        endpoint=trust.endpoint,
        private=trust.private,
        bound=trust.bound // seconds(1),
        every=trust.every // seconds(1),
        confirmed=trust.confirmed,
        stale=trust.stale(now),
        sequence=known.sequence,
        x509=len(known.x509),
        jwt=len(known.jwt),
        trouble=daemon.trusts.trouble(trust.namespace, trust.domain),
    )


PATIENCE: Final = 2.0
"""Seconds for which an issuer is waited for by those whose key is known (rule 3)."""
_OF_ONE: Final = 16
"""Who may wait for one issuer (rule 2)."""
_AT_ONCE: Final = 64
"""Issuers that are asked at once, each in its thread (rule 2)."""


@dataclass(slots=True, eq=False)
class _Asked:
    answered: asyncio.Future[None]
    begun: float
    waiting: int = 0


class Issuers:
    """Has issuers asked; used in the loop."""

    def __init__(self) -> None:
        self._asked: dict[IdentityIssuer, _Asked] = {}

    async def ask(self, awaited: IssuerFetch, work: Callable[[], None]) -> None:
        """Has this work ask an issuer; returns when the caller can go on (rules 2 and 3).

        Raises OverloadedError at a limit.
        """
        loop, known = asyncio.get_running_loop(), awaited.need is Need.NEWS
        asked = self._asked.get(awaited.issuer)
        if asked is None:
            if len(self._asked) >= _AT_ONCE:
                if known:
                    return  # 3
                raise OverloadedError(f"{_AT_ONCE} issuers of workloads are waited for")  # 2
            asked = self._begin(awaited.issuer, work)
        patience = asked.begun + PATIENCE - loop.time() if known else None
        if asked.waiting >= _OF_ONE:
            if known:
                return  # 3
            raise OverloadedError(f"{_OF_ONE} requests wait for this issuer of workloads")  # 2
        asked.waiting += 1
        try:
            await asyncio.wait([asked.answered], timeout=None if patience is None else max(0.0, patience))
        finally:
            asked.waiting -= 1
        if asked.answered.done():
            asked.answered.result()

    def _begin(self, issuer: IdentityIssuer, work: Callable[[], None]) -> _Asked:
        loop = asyncio.get_running_loop()
        asked = self._asked[issuer] = _Asked(loop.create_future(), loop.time())

        def end(error: Exception | None) -> None:
            del self._asked[issuer]
            if error is None:
                asked.answered.set_result(None)
            else:
                asked.answered.set_exception(error)

        def run() -> None:
            failed: Exception | None = None
            try:
                work()
            except Exception as error:  # noqa: BLE001 - passed on to the waiting callers
                failed = error
            with suppress(RuntimeError):  # the loop has ended meanwhile, and no caller waits
                loop.call_soon_threadsafe(end, failed)

        threading.Thread(target=run, name="issuer", daemon=True).start()  # 4
        return asked


class Sources:
    """The state of the sources of trust domains; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[tuple[str, str], str] = {}
        self._wake: Callable[[], None] | None = None

    def trouble(self, namespace: str, domain: str) -> str:
        """Returns why the source of this domain fails; empty while it answers."""
        with self._lock:
            return self._troubles.get((namespace, domain), "")

    def tell(self, namespace: str, domain: str, trouble: str) -> bool:
        """Stores why it fails, empty for nothing; returns whether that is a change."""
        with self._lock:
            before = self._troubles.pop((namespace, domain), "")
            if trouble:
                self._troubles[namespace, domain] = trouble
            return before != trouble

    def attend(self, wake: Callable[[], None] | None) -> None:
        """Sets a callback for changes of trust domains."""
        with self._lock:
            self._wake = wake

    def look(self) -> None:
        """Reports that trust domains were changed."""
        with self._lock:
            wake = self._wake
        if wake is not None:
            wake()
