"""Row 6: verifying a log offline, records a second.

What `audit verify` does with the records of an export, in one process: each is read strictly, continues
its writer's chain, and stands in the tree whose root is signed. *Bare* reads the same bytes with
Python's own JSON module and hashes them once: what any verifier has to do.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from dev.benchmarks.durable import ORIGIN, fill, sequencer_of
from dev.benchmarks.ground import Ground
from dev.benchmarks.inputs.cases import typical
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro, rate
from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.core.audit import verify_log
from taskbound.core.audit.note import make_verifier_key
from tests.sqlite import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Sequence


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_RECORDS: Final = 20_000
_QUICK: Final = 2_000


def measure_verify(*, quick: bool) -> Section:
    """The section."""
    ground = Ground.over(sqlite_store())
    ground.settle_in()
    fill(ground, ground.start(typical().scope).id, _QUICK if quick else _RECORDS)
    sequencer = sequencer_of(ground)
    sequencer.extend()
    signed = sequencer.sign()
    if signed is None:
        raise RuntimeError("there was nothing to sign")
    with ground.adapters.store.read() as snapshot:
        records = snapshot.audit.records(0, signed.size)
    key = make_verifier_key(ORIGIN, Ed25519Key.from_seed(bytes(range(32))).public)

    def ours() -> object:
        return verify_log(records, notes=[signed.note.encode()], key=key, verify=verify_ed25519)

    timed = by_turns({"bare": lambda: _read(records), "ours": ours}, turns=3 if quick else 7, pieces=1)
    rows, numbers = [], {}
    for name, one in timed.items():
        rate_of = len(records) / one.median
        ratio = f"{one.median / timed['bare'].median:.2f}"
        rows.append((name, rate(rate_of), micro(one.cpu / len(records)), ratio))
        numbers[f"{name}.rate"] = rate_of
    return Section(
        name="verify",
        title=f"Verifying a log of {len(records):,} records",
        method=_METHOD,
        tables=(Table(head=("what", "records/s", "CPU µs a record", "ratio"), rows=tuple(rows)),),
        numbers=numbers,
    )


def _read(records: Sequence[bytes]) -> None:
    for one in records:
        json.loads(one)
        hashlib.sha256(one).digest()
