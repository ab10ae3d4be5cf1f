"""Ways to tamper with a log without its key; each must be found, in a soak on 10,000 records (I-47)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.record import seal
from tests.core.audit.logs import verify
from tests.core.audit.samples import decided

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.audit import Checkpoint


def mutations(records: Sequence[bytes], at: int) -> Iterator[tuple[str, list[bytes]]]:
    """Each way to tamper with the record at this index, by name, with the whole log after it."""
    before, this, after = list(records[:at]), records[at], list(records[at + 1 :])
    yield "deleted", [*before, *after]
    yield "repeated", [*before, this, this, *after]
    yield "repeated at the end", [*before, this, *after, this]
    yield "truncated", before
    yield "edited", [*before, edited(this), *after]
    yield "inserted", [*before, forged(this), this, *after]
    yield "replaced", [*before, forged(this), *after]
    yield "cut in two", [*before, this[: len(this) // 2], this[len(this) // 2 :], *after]
    yield "emptied", [*before, b"", *after]
    yield "downgraded", [*before, this.replace(b'"v":1', b'"v":0'), *after]
    yield "relabelled", [*before, this.replace(b'"v":1', b'"hash":"sha1","v":1'), *after]
    yield "respelled", [*before, json.dumps(json.loads(this)).encode(), *after]
    if after:
        yield "swapped", [*before, after[0], this, *after[1:]]
        yield "moved to the end", [*before, *after, this]
    if at:
        yield "moved to the head", [this, *before, *after]
        yield "truncated at the head", [this, *after]


def edited(raw: bytes) -> bytes:
    """The record with one word of it changed, in perfect form."""
    value = json.loads(raw)
    event = value["event"]
    name = next(one for one in sorted(event) if isinstance(event[one], str) and one != "kind")
    event[name] = "0" * 64 if event[name] != "0" * 64 else "1" * 64
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def forged(raw: bytes) -> bytes:
    """Another record in the same place, in perfect form, that names the right record before it."""
    return seal(replace(parse_record(raw), event=decided(999_999))).raw


def require_found(
    records: Sequence[bytes], notes: Sequence[bytes], *, held: Checkpoint | None = None, where: object = ""
) -> type[TamperedError]:
    """How tampering was called; a failure when it passed."""
    try:
        passed = verify(records, notes, held=held)
    except TamperedError as error:
        return type(error)
    pytest.fail(f"tampering passed: {where}: {passed}")


def require_each_found(records: Sequence[bytes], notes: Sequence[bytes], at: Sequence[int]) -> int:
    """How many ways of tampering with the records at these indexes were tried; all were found.

    All records must be covered by the last of the notes.
    """
    tried = 0
    for index in at:
        for name, changed in mutations(records, index):
            require_found(changed, notes, where=(name, index))
            tried += 1
    return tried


def require_each_byte_found(records: Sequence[bytes], notes: Sequence[bytes], at: Sequence[int]) -> int:
    """How many changes of single bytes of the records at these indexes were tried; all were found."""
    tried = 0
    for index in at:
        raw = records[index]
        for place in range(len(raw)):
            for changed in (raw[place] ^ 1, raw[place] ^ 0x20, 0x0A):
                if changed != raw[place]:
                    new = raw[:place] + bytes([changed]) + raw[place + 1 :]
                    require_found(
                        [*records[:index], new, *records[index + 1 :]], notes, where=(index, place, changed)
                    )
                    tried += 1
    return tried
