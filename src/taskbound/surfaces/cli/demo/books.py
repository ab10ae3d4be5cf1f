"""Reads the payments server's ledger with the ledger's own program, bypassing the server."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.cli.demo.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One payment in the ledger."""

    sequence: int
    reference: str
    to_account: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The contents of the ledger."""

    calls: int
    """How many calls the server ever executed, refused ones and questions included."""
    entries: tuple[Entry, ...]
    """Every payment, oldest first."""

    def paid(self, account: str) -> Decimal:
        """Return the sum of the payments to an account."""
        return sum((one.amount for one in self.entries if one.to_account == account), Decimal(0))

    def named(self, reference: str) -> tuple[Entry, ...]:
        """Return the payments with this reference."""
        return tuple(one for one in self.entries if one.reference == reference)


def read_books(parts: Parts, ledger: Path) -> Books:
    """Read the ledger; it is empty if there is no file yet."""
    if not ledger.exists():
        return Books(calls=0, entries=())
    done = subprocess.run(  # noqa: S603 -- the example's own program
        [parts.python, str(parts.payments / "ledger.py"), str(ledger)],
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    places = {"EUR": -2, "JPY": 0}
    received = {one["entry"]: one for one in found["postings"] if one["amount"] > 0}
    entries = tuple(
        Entry(
            sequence=one["seq"],
            reference=one["reference"],
            to_account=received[one["seq"]]["account"],
            amount=Decimal(received[one["seq"]]["amount"]).scaleb(places[one["currency"]]),
        )
        for one in found["entries"]
        if one["kind"] == "payment"
    )
    return Books(calls=len(found["calls"]), entries=entries)
