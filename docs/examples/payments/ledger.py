"""A double-entry ledger in one SQLite file that the database itself keeps in balance.

1. Amounts are integers in the currency's minor unit; a decimal with more digits than the currency has is
   refused, never rounded.
2. An entry can be committed only with a seal, and a seal only be set on postings that sum to zero. A sealed
   entry can't be changed or extended.
3. An account's balance is the sum of its postings, and never negative unless it may overdraw.
4. Every call is recorded under its own sequence number, in the transaction of its effect, also when it is
   refused.

Rules 2 and 3 are constraints and triggers in the file, so that a mistake in this program can't break them.
``python ledger.py FILE`` prints the accounts, entries, postings and calls of a ledger as JSON.
"""
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["ACCOUNT", "CURRENCIES", "LARGEST", "Ledger", "Payment", "RefusedError", "to_major", "to_minor"]

CURRENCIES: Final = {"EUR": 2, "JPY": 0}
"""Currency code to the number of its decimals (ISO 4217)."""

ACCOUNT: Final = r"^[a-z0-9][a-z0-9-]{0,63}$"
LARGEST: Final = 1_000_000_000
"""The largest amount of one payment, in major units."""

_LONGEST: Final = 1_000  # decimals; 1e-999999999 is not worked out to be told that it is too fine

_OPENING: Final = (  # account, currency, may overdraw, opening balance in minor units, paid in from
    ("equity", "EUR", 1, 0, ""),
    ("operating", "EUR", 0, 25_000_00, "equity"),
    ("acme-supplies", "EUR", 0, 0, ""),
    ("blue-freight", "EUR", 0, 0, ""),
    ("equity-jpy", "JPY", 1, 0, ""),
    ("operating-jpy", "JPY", 0, 1_000_000, "equity-jpy"),
    ("kyoto-paper", "JPY", 0, 0, ""),
)

_TABLES: Final = """
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, tool TEXT NOT NULL,
    arguments TEXT NOT NULL, outcome TEXT NOT NULL
) STRICT;
CREATE TABLE accounts (
    name TEXT PRIMARY KEY, currency TEXT NOT NULL, overdraft INTEGER NOT NULL CHECK (overdraft IN (0, 1)),
    balance INTEGER NOT NULL DEFAULT 0, UNIQUE (name, currency),
    CONSTRAINT covered CHECK (balance >= 0 OR overdraft = 1)
) STRICT;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('opening', 'payment')), currency TEXT NOT NULL,
    reference TEXT NOT NULL, call INTEGER REFERENCES calls (seq), UNIQUE (seq, currency),
    FOREIGN KEY (seq) REFERENCES seals (entry) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE TABLE postings (
    entry INTEGER NOT NULL, account TEXT NOT NULL, currency TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0), PRIMARY KEY (entry, account),
    FOREIGN KEY (entry, currency) REFERENCES entries (seq, currency),
    FOREIGN KEY (account, currency) REFERENCES accounts (name, currency)
) STRICT;
CREATE INDEX postings_by_account ON postings (account, entry);
CREATE TABLE seals (entry INTEGER PRIMARY KEY REFERENCES entries (seq)) STRICT;
CREATE TRIGGER seal_needs_balance BEFORE INSERT ON seals
    WHEN (SELECT count(*) < 2 OR sum(amount) <> 0 FROM postings WHERE entry = NEW.entry)
    BEGIN SELECT RAISE(ABORT, 'entry does not balance'); END;
CREATE TRIGGER posting_before_seal BEFORE INSERT ON postings
    WHEN EXISTS (SELECT 1 FROM seals WHERE entry = NEW.entry)
    BEGIN SELECT RAISE(ABORT, 'entry is sealed'); END;
CREATE TRIGGER posting_moves_balance AFTER INSERT ON postings
    BEGIN UPDATE accounts SET balance = balance + NEW.amount WHERE name = NEW.account; END;
CREATE TRIGGER account_starts_empty BEFORE INSERT ON accounts
    WHEN NEW.balance <> 0 OR EXISTS (SELECT 1 FROM accounts WHERE name = NEW.name)
    BEGIN SELECT RAISE(ABORT, 'account must be new and empty'); END;
CREATE TRIGGER balance_is_sum BEFORE UPDATE ON accounts
    WHEN NEW.name <> OLD.name OR NEW.currency <> OLD.currency OR NEW.overdraft <> OLD.overdraft
        OR NEW.balance <> (SELECT coalesce(sum(amount), 0) FROM postings WHERE account = NEW.name)
    BEGIN SELECT RAISE(ABORT, 'balance is not the sum of the postings'); END;
CREATE TRIGGER entries_unchanged BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER entries_kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER postings_unchanged BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER postings_kept BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER seals_kept BEFORE DELETE ON seals BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER calls_unchanged BEFORE UPDATE OF seq, at, tool, arguments ON calls
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER calls_kept BEFORE DELETE ON calls BEGIN SELECT RAISE(ABORT, 'append only'); END
"""

_T = TypeVar("_T")


class RefusedError(Exception):
    """The ledger says no; the message tells the caller why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as asked for: `amount` in major units, as it was written."""

    from_account: str
    to_account: str
    amount: Decimal | int
    currency: str
    reference: str


def to_minor(amount: Decimal | int, currency: str) -> int:
    """The exact amount in minor units.

    Args:
        amount: greater than 0 and at most `LARGEST`, in major units, as it was written.
        currency: a code of `CURRENCIES`.

    Raises:
        RefusedError: it is out of range, or finer than the minor unit.
    """
    exact = Decimal(amount)
    if not exact.is_finite() or not 0 < exact <= LARGEST:
        raise RefusedError(f"amount must be greater than 0 and at most {LARGEST}")
    places = CURRENCIES[currency]
    finest = int(exact.as_tuple().exponent)
    top, bottom = exact.as_integer_ratio() if finest > -_LONGEST else (1, 10 ** (places + 1))
    minor, rest = divmod(top * 10**places, bottom)
    if rest:
        raise RefusedError(f"amount has more decimals than the {places} of {currency}")
    return int(minor)


def to_major(minor: int, currency: str) -> str:
    """The amount as a decimal with exactly the currency's decimals."""
    places = CURRENCIES[currency]
    return f"{Decimal(minor).scaleb(-places):.{places}f}"


class Ledger:
    """One open ledger file; several processes may have the same one open."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, or make it with its opening balances."""
        # A rollback journal, not WAL: the SQLite inside many Pythons can lose commits in WAL mode.
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is None:
                self._make()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def pay(self, payment: Payment, arguments: Mapping[str, object]) -> dict[str, object]:
        """Move the amount, and say under which sequence number.

        Args:
            payment: what to move.
            arguments: the call as it came, for the record.

        Raises:
            RefusedError: nothing was moved; the refused call is on record.
        """

        def move(call: int) -> dict[str, object]:
            entry = self._move(payment, call)
            currency, balance = self._account(payment.from_account)
            return {
                "sequence": entry,
                "reference": payment.reference,
                "from_account": payment.from_account,
            } | {
                "to_account": payment.to_account,
                "amount": to_major(to_minor(payment.amount, currency), currency),
                "currency": currency,
                "balance_after": to_major(balance, currency),
            }

        return self._recorded("pay", arguments, move)

    def balance(self, account: str, arguments: Mapping[str, object]) -> dict[str, object]:
        """What `account` holds.

        Raises:
            RefusedError: there is no such account.
        """
        return self._recorded("balance", arguments, lambda _call: self._holding(account))

    def statement(self, account: str, limit: int, arguments: Mapping[str, object]) -> dict[str, object]:
        """The latest `limit` entries of `account`, newest first, and how many payments the ledger ever made.

        Raises:
            RefusedError: there is no such account.
        """

        def read(_call: int) -> dict[str, object]:
            found = self._holding(account)
            made = self._db.execute("SELECT count(*) FROM entries WHERE kind = 'payment'").fetchone()[0]
            return found | {"payments_in_ledger": made, "entries": self._entries(account, limit)}

        return self._recorded("statement", arguments, read)

    def everything(self) -> dict[str, list[dict[str, object]]]:
        """All rows of each table, for whoever looks from outside."""
        found: dict[str, list[dict[str, object]]] = {}
        for table in ("accounts", "entries", "postings", "calls"):
            rows = self._db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 -- fixed names
            names = [column[0] for column in rows.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in rows]
        return found

    def _recorded(self, tool: str, arguments: Mapping[str, object], effect: Callable[[int], _T]) -> _T:
        # Rule 4: the record and the effect commit together; a refusal takes back the effect alone.
        with self._transaction():
            text = json.dumps(dict(arguments), default=str, ensure_ascii=False)
            call: int = self._db.execute(
                "INSERT INTO calls (at, tool, arguments, outcome) VALUES (?, ?, ?, 'executed') RETURNING seq",
                (_now(), tool, text),
            ).fetchone()[0]
            self._db.execute("SAVEPOINT effect")
            try:
                return effect(call)
            except RefusedError as error:
                self._db.execute("ROLLBACK TO effect")
                self._db.execute("UPDATE calls SET outcome = ? WHERE seq = ?", (f"refused: {error}", call))
                refused = error
        raise refused

    def _move(self, payment: Payment, call: int) -> int:
        for account in (payment.from_account, payment.to_account):
            currency, _ = self._account(account)
            if currency != payment.currency:
                raise RefusedError(f"account `{account}` is kept in {currency}, not {payment.currency}")
        if payment.from_account == payment.to_account:
            raise RefusedError("the two accounts must differ")
        minor = to_minor(payment.amount, payment.currency)
        sides = {payment.from_account: -minor, payment.to_account: minor}
        try:
            return self._enter("payment", payment.currency, payment.reference, sides, call)
        except sqlite3.IntegrityError as error:
            if "covered" not in str(error):
                raise
            raise RefusedError(f"account `{payment.from_account}` does not hold that much") from None

    def _enter(
        self, kind: str, currency: str, reference: str, sides: Mapping[str, int], call: int | None
    ) -> int:
        made: int = self._db.execute(
            "INSERT INTO entries (at, kind, currency, reference, call) VALUES (?, ?, ?, ?, ?) RETURNING seq",
            (_now(), kind, currency, reference, call),
        ).fetchone()[0]
        rows = [(made, account, currency, amount) for account, amount in sides.items()]
        self._db.executemany("INSERT INTO postings VALUES (?, ?, ?, ?)", rows)
        self._db.execute("INSERT INTO seals VALUES (?)", (made,))
        return made

    def _holding(self, account: str) -> dict[str, object]:
        currency, balance = self._account(account)
        return {"account": account, "currency": currency, "balance": to_major(balance, currency)}

    def _account(self, name: str) -> tuple[str, int]:
        row = self._db.execute("SELECT currency, balance FROM accounts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise RefusedError(f"there is no account `{name}`")
        return row[0], row[1]

    def _entries(self, account: str, limit: int) -> list[dict[str, object]]:
        rows = self._db.execute(
            "SELECT e.seq, e.at, e.kind, e.reference, e.currency, p.amount, o.account "
            "FROM postings p JOIN entries e ON e.seq = p.entry "
            "JOIN postings o ON o.entry = p.entry AND o.account <> p.account "
            "WHERE p.account = ? ORDER BY e.seq DESC LIMIT ?",
            (account, limit),
        )
        return [
            {"sequence": seq, "at": at, "kind": kind, "reference": reference, "counterparty": other}
            | {"amount": to_major(amount, currency)}
            for seq, at, kind, reference, currency, amount, other in rows
        ]

    def _make(self) -> None:
        for statement in _TABLES.split(";\nCREATE "):
            text = statement.strip()
            self._db.execute(text if text.startswith("CREATE ") else f"CREATE {text}")
        self._db.executemany(
            "INSERT INTO accounts (name, currency, overdraft) VALUES (?, ?, ?)", [row[:3] for row in _OPENING]
        )
        for account, currency, _, amount, source in _OPENING:
            if amount:
                self._enter("opening", currency, "opening balance", {source: -amount, account: amount}, None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def main() -> None:
    """Print the ledger named on the command line as JSON."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():  # noqa: PLR2004 -- program and file
        sys.exit("usage: python ledger.py FILE")
    with closing(Ledger(Path(sys.argv[1]))) as ledger:
        sys.stdout.write(json.dumps(ledger.everything(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
