"""People's accounts, sign-ins and sessions, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.clock import Instant

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.identity.account import Account
    from taskbound.core.identity.sign_in import Session, SignIn

__all__ = ["MemoryAccounts"]


class MemoryAccounts:
    """Reads from a snapshot, and writes in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def accounts(self, namespace: str) -> tuple[Account, ...]:
        """Every account, by issuer and subject."""
        found = [one for one in self._tables.live().accounts.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: (one.issuer, one.subject)))

    def account(self, namespace: str, issuer: str, subject: str) -> Account | None:
        """The account, if it is anybody's."""
        return self._tables.live().accounts.get((namespace, issuer, subject))

    def session(self, namespace: str, secret: str) -> Session | None:
        """The session of the browser whose secret has this digest."""
        return next((one for one in self.sessions(namespace) if one.secret == secret), None)

    def session_until(self, namespace: str, session: str, person: str) -> Instant:
        """When this session of this person ends."""
        found = self._tables.live().browser_sessions.get((namespace, session))
        return Instant(0) if found is None or found.person != person else found.until

    def sessions(self, namespace: str) -> tuple[Session, ...]:
        """Every session, the oldest first."""
        found = [one for one in self._tables.live().browser_sessions.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: (one.began, one.id)))

    def spaces(self) -> tuple[str, ...]:
        """Every namespace in which an account is somebody's."""
        return tuple(sorted({one.namespace for one in self._tables.live().accounts.values()}))

    def put_account(self, account: Account) -> None:
        """Write a new one."""
        key = (account.namespace, account.issuer, account.subject)
        if self._tables.live().accounts.get(key) is not None:
            self._tables.conflict(f"account `{account.subject}`")
        self._tables.accounts.put(key, account)

    def drop_account(self, namespace: str, issuer: str, subject: str) -> None:
        """Forget the account."""
        self._tables.live().accounts.put((namespace, issuer, subject), None)

    def put_sign_in(self, sign_in: SignIn) -> None:
        """Write a new one."""
        key = (sign_in.namespace, sign_in.state)
        if self._tables.live().sign_ins.get(key) is not None:
            self._tables.conflict("sign-in")
        self._tables.sign_ins.put(key, sign_in)

    def take_sign_in(self, namespace: str, state: str) -> SignIn | None:
        """The sign-in of this state, which waits no more."""
        found = self._tables.live().sign_ins.get((namespace, state))
        self._tables.sign_ins.put((namespace, state), None)
        return found

    def sign_ins_of(self, namespace: str, address: str) -> tuple[SignIn, ...]:
        """Those of this address, the oldest first."""
        found = [
            one
            for one in self._tables.live().sign_ins.values()
            if (one.namespace, one.address) == (namespace, address)
        ]
        return tuple(sorted(found, key=lambda one: (one.begun, one.state)))

    def count_sign_ins(self, namespace: str) -> int:
        """How many wait."""
        return sum(one.namespace == namespace for one in self._tables.live().sign_ins.values())

    def drop_sign_ins(self, namespace: str, issuer: str) -> None:
        """Forget those that wait for this issuer."""
        rows = self._tables.live().sign_ins
        for one in [one for one in rows.values() if (one.namespace, one.issuer) == (namespace, issuer)]:
            rows.put((one.namespace, one.state), None)

    def put_session(self, session: Session) -> None:
        """Write a new one."""
        rows, key = self._tables.live().browser_sessions, (session.namespace, session.id)
        if rows.get(key) is not None or self.session(session.namespace, session.secret) is not None:
            self._tables.conflict(f"session `{session.id}`")
        rows.put(key, session)

    def drop_session(self, namespace: str, session: str) -> None:
        """Forget the session of this id."""
        self._tables.live().browser_sessions.put((namespace, session), None)

    def sweep_sign_ins(self, before: Instant, *, limit: int) -> int:
        """Forget sign-ins that began before this."""
        rows = self._tables.live().sign_ins
        over = [one for one in rows.values() if one.begun < before][:limit]
        for one in over:
            rows.put((one.namespace, one.state), None)
        return len(over)

    def sweep_sessions(self, before: Instant, *, limit: int) -> int:
        """Forget sessions whose time was over before this."""
        rows = self._tables.live().browser_sessions
        over = [one for one in rows.values() if one.until < before][:limit]
        for one in over:
            rows.put((one.namespace, one.id), None)
        return len(over)
