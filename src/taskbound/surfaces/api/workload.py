"""Operations on what proves agents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.identity.oidc import parse_identity_issuer
from taskbound.core.identity.selector import parse_selector, selector_id
from taskbound.flows.identity.issuers import add_identity_issuer, drop_identity_issuer
from taskbound.flows.identity.selectors import add_selector, drop_selector
from taskbound.surfaces.api.sign_in import beside
from taskbound.wire import workload as wire
from taskbound.wire.connection import Done
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.selector import Selector
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def put_selector(daemon: Daemon, connection: Connection, ask: wire.AddSelector) -> Answer:
    """Have a credential that says this prove the agent."""
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
        return add_selector(daemon.means, selector, actor=actor, owns=owns)

    return Done(detail=await daemon.first(work))


async def remove_selector(daemon: Daemon, connection: Connection, ask: wire.RemoveSelector) -> Answer:
    """Have such a credential prove the agent no more."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_selector(daemon.means, connection.namespace, ask.agent, ask.selector, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def list_selectors(daemon: Daemon, connection: Connection, ask: wire.ListSelectors) -> Answer:
    """The selectors of one agent, or of all."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.workloads.selectors(connection.namespace)
        return wire.SelectorRows(rows=tuple(_row(one) for one in found if ask.agent in {"", one.agent}))

    return await daemon.read(read)


async def put_issuer(daemon: Daemon, connection: Connection, ask: wire.AddIdentityIssuer) -> Answer:
    """Have an issuer's word prove workloads or people."""
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
        add_identity_issuer(daemon.means, issuer, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def remove_issuer(daemon: Daemon, connection: Connection, ask: wire.RemoveIdentityIssuer) -> Answer:
    """Have its word prove nobody any more."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        drop_identity_issuer(daemon.means, connection.namespace, ask.name, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def list_issuers(daemon: Daemon, connection: Connection, ask: wire.ListIdentityIssuers) -> Answer:
    """Whose word proves workloads and people."""
    troubles: dict[str, str] = {}
    if ask.look:
        troubles = await beside(
            (connection.namespace, ""), partial(daemon.sign_ins.troubles, connection.namespace)
        )

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
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
