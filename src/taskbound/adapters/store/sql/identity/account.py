"""Persons' accounts, sign-ins, sessions, and idempotent request answers in SQL."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select

from taskbound.adapters.store.sql.record import FLAG, Form, Record, reader
from taskbound.adapters.store.sql.rows import Statement, TableGroup, given
from taskbound.adapters.store.sql.schema.identity import accounts, browser_sessions, sign_ins
from taskbound.core.clock import Instant
from taskbound.core.identity.issuer import Account
from taskbound.core.identity.proof import Answered
from taskbound.core.identity.sign_in import Session, SignIn

_SPACE: Final = given("namespace")
_MINE: Final = select(accounts).where(accounts.c.namespace == _SPACE)
_ACCOUNTS: Final = Statement(_MINE.order_by(accounts.c.issuer, accounts.c.subject))
_ONE: Final = (accounts.c.issuer == given("issuer"), accounts.c.subject == given("subject"))
_ACCOUNT: Final = Statement(_MINE.where(*_ONE))
_DROP: Final = Statement(delete(accounts).where(accounts.c.namespace == _SPACE, *_ONE))

_WAITING: Final = select(sign_ins).where(sign_ins.c.namespace == _SPACE)
_STATE: Final = Statement(_WAITING.where(sign_ins.c.state == given("state")))
_OF: Final = Statement(
    _WAITING.where(sign_ins.c.address == given("address")).order_by(sign_ins.c.begun, sign_ins.c.state)
)
_TAKE: Final = Statement(
    delete(sign_ins).where(sign_ins.c.namespace == _SPACE, sign_ins.c.state == given("state"))
)
_SPACES: Final = "SELECT DISTINCT namespace FROM accounts ORDER BY namespace"
_COUNT: Final = "SELECT count(*) FROM sign_ins WHERE namespace = ?"
_DROP_SIGN_INS: Final = "DELETE FROM sign_ins WHERE namespace = ? AND issuer = ?"
_SWEEP_SIGN_INS: Final = (
    "DELETE FROM sign_ins WHERE (namespace, state) IN"
    " (SELECT namespace, state FROM sign_ins WHERE begun < ? ORDER BY begun LIMIT ?)"
)

_BROWSERS: Final = select(browser_sessions).where(browser_sessions.c.namespace == _SPACE)
_SESSIONS: Final = Statement(_BROWSERS.order_by(browser_sessions.c.began, browser_sessions.c.id))
_SESSION: Final = Statement(_BROWSERS.where(browser_sessions.c.secret == given("secret")))
_SESSION_UNTIL: Final = (  # the columns that a signer may read
    "SELECT until FROM browser_sessions WHERE namespace = ? AND id = ? AND person = ?"
)
_DROP_SESSION: Final = Statement(
    delete(browser_sessions).where(
        browser_sessions.c.namespace == _SPACE, browser_sessions.c.id == given("id")
    )
)
_SWEEP_SESSIONS: Final = (
    "DELETE FROM browser_sessions WHERE (namespace, id) IN"
    " (SELECT namespace, id FROM browser_sessions WHERE until < ? ORDER BY until LIMIT ?)"
)


_ACCOUNT_ROW: Final = Record(accounts, Account, linked_by=Form(field="by"))
_SIGN_IN_ROW: Final = Record(sign_ins, SignIn, promised=FLAG)
_SESSION_ROW: Final = Record(browser_sessions, Session)


_read_answered: Final = reader("namespace principal key request until answer", Answered)


class SqlAccounts(TableGroup):
    """Accounts, sign-ins and sessions. On PostgreSQL a transaction that reads them is exclusive."""

    __slots__ = ()

    def accounts(self, namespace: str) -> tuple[Account, ...]:
        return self._link.all(_ACCOUNT_ROW.read, _ACCOUNTS.text, _ACCOUNTS.values(namespace=namespace))

    def account(self, namespace: str, issuer: str, subject: str) -> Account | None:
        """Returns the account, or None if it is not linked to a person."""
        values = _ACCOUNT.values(namespace=namespace, issuer=issuer, subject=subject)
        return self._link.one(_ACCOUNT_ROW.read, _ACCOUNT.text, values)

    def session(self, namespace: str, secret: str) -> Session | None:
        """Returns the session whose browser secret has this digest, or None."""
        return self._link.one(
            _SESSION_ROW.read, _SESSION.text, _SESSION.values(namespace=namespace, secret=secret)
        )

    def session_until(self, namespace: str, session: str, person: str) -> Instant:
        return Instant(self._link.one(int, _SESSION_UNTIL, (namespace, session, person)) or 0)

    def sessions(self, namespace: str) -> tuple[Session, ...]:
        """Returns every session, the oldest first."""
        return self._link.all(_SESSION_ROW.read, _SESSIONS.text, _SESSIONS.values(namespace=namespace))

    def spaces(self) -> tuple[str, ...]:
        return self._link.all(str, _SPACES)

    def put_account(self, account: Account) -> None:
        _ACCOUNT_ROW.insert(self._link, account)

    def drop_account(self, namespace: str, issuer: str, subject: str) -> None:
        values = _DROP.values(namespace=namespace, issuer=issuer, subject=subject)
        self._link.change(_DROP.text, values)

    def put_sign_in(self, sign_in: SignIn) -> None:
        _SIGN_IN_ROW.insert(self._link, sign_in)

    def take_sign_in(self, namespace: str, state: str) -> SignIn | None:
        found = self._link.one(
            _SIGN_IN_ROW.read, _STATE.text, _STATE.values(namespace=namespace, state=state)
        )
        taken = self._link.change(_TAKE.text, _TAKE.values(namespace=namespace, state=state))
        return found if taken else None

    def sign_ins_of(self, namespace: str, address: str) -> tuple[SignIn, ...]:
        """Returns this address's pending sign-ins, oldest first."""
        return self._link.all(_SIGN_IN_ROW.read, _OF.text, _OF.values(namespace=namespace, address=address))

    def count_sign_ins(self, namespace: str) -> int:
        return self._link.whole(_COUNT, (namespace,))

    def drop_sign_ins(self, namespace: str, issuer: str) -> None:
        self._link.change(_DROP_SIGN_INS, (namespace, issuer))

    def put_session(self, session: Session) -> None:
        _SESSION_ROW.insert(self._link, session)

    def drop_session(self, namespace: str, session: str) -> None:
        self._link.change(_DROP_SESSION.text, _DROP_SESSION.values(namespace=namespace, id=session))

    def sweep_sign_ins(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` sign-ins that began before this; returns how many."""
        return self._link.change(_SWEEP_SIGN_INS, (before, limit))

    def sweep_sessions(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` sessions that ended before this; returns how many."""
        return self._link.change(_SWEEP_SESSIONS, (before, limit))


_OVER: Final = "DELETE FROM answered WHERE namespace = ? AND principal = ? AND key = ? AND until < ?"
_BEGIN: Final = (
    "INSERT INTO answered (namespace, principal, key, request, until, answer) VALUES (?, ?, ?, ?, ?, '')"
    " ON CONFLICT (namespace, principal, key) DO NOTHING"
)
_KNOWN: Final = (
    "SELECT namespace, principal, key, request, until, answer FROM answered"
    " WHERE namespace = ? AND principal = ? AND key = ?"
)
_FINISH: Final = (
    "UPDATE answered SET answer = ? WHERE namespace = ? AND principal = ? AND key = ? AND request = ?"
)
_FORGET: Final = (
    "DELETE FROM answered WHERE namespace = ? AND principal = ? AND key = ? AND request = ? AND answer = ''"
)
_SWEEP: Final = (
    "DELETE FROM answered WHERE (namespace, principal, key) IN"
    " (SELECT namespace, principal, key FROM answered WHERE until < ? ORDER BY until LIMIT ?)"
)


class SqlAnswered(TableGroup):
    """Answers to requests, by idempotency key."""

    __slots__ = ()

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Reserves the key without an answer, or returns the row that has it."""
        key = (row.namespace, row.principal, row.key)
        self._link.change(_OVER, (*key, now))
        if self._link.change(_BEGIN, (*key, row.request, row.until)) == 1:
            return None
        return self._link.one(_read_answered, _KNOWN, key)

    def finish(self, row: Answered) -> None:
        self._link.change(_FINISH, (row.answer, row.namespace, row.principal, row.key, row.request))

    def forget(self, row: Answered) -> None:
        self._link.change(_FORGET, (row.namespace, row.principal, row.key, row.request))

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` keys that expired before this; returns how many."""
        return self._link.change(_SWEEP, (before, limit))
