"""Operations on people's accounts at issuers, and on their browsers' sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.flows.identity.account import end_session, link_account, unlink_account
from taskbound.flows.identity.claimed import set_issuer_groups
from taskbound.wire import account as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.flows.means import Moved
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def link(daemon: Daemon, connection: Connection, ask: wire.LinkAccount) -> Answer:
    """Have an account be a person's."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        link_account(
            daemon.means,
            connection.namespace,
            ask.person,
            issuer=ask.issuer,
            subject=ask.subject,
            actor=actor,
            owns=owns,
        )

    await daemon.first(work)
    return Done()


async def unlink(daemon: Daemon, connection: Connection, ask: wire.UnlinkAccount) -> Answer:
    """Have it be theirs no more."""

    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = unlink_account(
            daemon.means,
            connection.namespace,
            ask.person,
            issuer=ask.issuer,
            subject=ask.subject,
            actor=actor,
            owns=owns,
        )
        daemon.views.forget()
        return moved

    daemon.tell_ended(await daemon.first(work))
    return Done()


async def list_accounts(daemon: Daemon, connection: Connection, ask: wire.ListAccounts) -> Answer:
    """Which accounts are whose."""

    def read() -> Answer:
        with daemon.means.store.read() as snapshot:
            found = snapshot.accounts.accounts(connection.namespace)
        rows = (
            wire.AccountRow(
                person=one.person, issuer=one.issuer, subject=one.subject, linked=one.linked, by=one.by
            )
            for one in found
            if ask.person in {"", one.person}
        )
        return wire.AccountRows(rows=tuple(rows))

    return await daemon.read(read)


async def list_sessions(daemon: Daemon, connection: Connection, ask: wire.ListSessions) -> Answer:
    """Who is signed in with a browser."""

    def read() -> Answer:
        now = daemon.means.clock.now()
        with daemon.means.store.read() as snapshot:
            found = snapshot.accounts.sessions(connection.namespace)
        rows = (
            wire.SessionRow(
                session=one.id,
                person=one.person,
                issuer=one.issuer,
                subject=one.subject,
                authenticated=one.authenticated,
                acr=one.acr,
                began=one.began,
                until=one.until,
            )
            for one in found
            if ask.person in {"", one.person} and now < one.until
        )
        return wire.SessionRows(rows=tuple(rows))

    return await daemon.read(read)


async def put_session_out(daemon: Daemon, connection: Connection, ask: wire.EndSession) -> Answer:
    """End a browser's session."""

    def work() -> None:
        actor, owns = daemon.require_giver(connection)
        end_session(daemon.means, connection.namespace, ask.session, actor=actor, owns=owns)

    await daemon.first(work)
    return Done()


async def put_groups(daemon: Daemon, connection: Connection, ask: wire.SetIssuerGroups) -> Answer:
    """Say which values of an issuer's claim are which groups."""

    def work() -> list[Moved]:
        actor, owns = daemon.require_giver(connection)
        moved = set_issuer_groups(
            daemon.means,
            connection.namespace,
            ask.name,
            claim=ask.claim,
            groups=[(one.value, one.group) for one in ask.groups],
            actor=actor,
            owns=owns,
        )
        daemon.views.forget()
        return moved

    daemon.tell_ended(await daemon.first(work))
    return Done()
