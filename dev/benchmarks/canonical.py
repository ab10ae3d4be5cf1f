"""Canonical JSON: ours and the `rfc8785` package on the same values, in microseconds for a thousand bytes.

*Nested* are the 1 KB arguments of the decision's case, *mixed* 200 documents of the soak's generator (floats
of all sizes, keys of all planes), *texts* a list of long texts. Both write the same bytes, which is looked at
first. *Python's own* is its encoder in C with sorted keys, on the same values: it looks at nothing, and
writes what ours writes only where numbers and keys are plain. It is the least that Python takes.
"""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

import rfc8785

from dev.benchmarks.inputs.cases import every_case
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns
from dev.soaks.documents import value
from taskbound.core.action import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue


MOST: Final = 8e-6
"""Seconds for a thousand bytes, p50: the aim."""
_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_REASONS: Final = {
    "nested": "its 100 small values take Python's encoder in C {own} µs; the rest is looking at each",
    "mixed": "floats and keys that Python's encoder in C ({own} µs) writes otherwise are written one by one",
}
_OWN: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def measure_canonical(*, quick: bool) -> Section:
    """The section."""
    chance = Random(1)  # noqa: S311 - the same documents each time
    nested = next(one for one in every_case() if one.name == "nested").arguments
    inputs: dict[str, JsonValue] = {
        "nested": nested,
        "mixed": [value(chance) for _ in range(200)],
        "texts": ["a longer text, as a message or a file has it; " * 20] * 20,
    }
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for name, document in inputs.items():
        written = canonical(document)
        if written != rfc8785.dumps(document):
            raise TypeError(f"{name} is written in two ways")
        size = len(written) / 1e3
        turns, pieces = (3, 20) if quick else (11, 200)
        works: dict[str, Callable[[], object]] = {
            "ours": partial(canonical, document),
            "rfc8785": partial(rfc8785.dumps, document),
            "python": partial(_OWN, document),
        }
        timed = by_turns(works, turns=turns, pieces=pieces)
        ours, theirs, own = timed["ours"], timed["rfc8785"], timed["python"]
        parts = (ours.median, ours.p99, own.median, theirs.median, theirs.p99)
        each = [f"{seconds / size * 1e6:.2f}" for seconds in parts]
        rows.append((name, f"{size:.1f}", *each, f"{theirs.median / ours.median:.1f}"))
        numbers |= {f"{name}.{work}": one.median / size for work, one in timed.items()}
    return Section(
        name="canonical",
        title="Canonical JSON",
        method=_METHOD,
        tables=(
            Table(
                head=(
                    "values",
                    "KB",
                    "ours p50 µs/KB",
                    "p99",
                    "Python's own p50",
                    "rfc8785 p50",
                    "p99",
                    "times as fast",
                ),
                rows=tuple(rows),
            ),
        ),
        aims=tuple(
            Aim(
                words=f"canonical JSON: at most 8 µs a KB, {name}",
                measured=f"{numbers[f'{name}.ours'] * 1e6:.2f} µs",
                reached=numbers[f"{name}.ours"] <= MOST,
                reason=_REASONS.get(name, "see the table").format(
                    own=f"{numbers[f'{name}.python'] * 1e6:.1f}"
                ),
            )
            for name in inputs
        ),
        numbers=numbers,
    )
