"""The attack corpus of the gateway, G9: what is sent, and the one answer that it must get.

`g9.jsonl` has one case a line: ``{id, layer, bytes_b64 | make, expect, reason}`` and, where they apply,
``twin_of``, ``cuts``, ``eof`` and ``calls``.

1. *expect* is the code of the error that the first refused line gets, or ``ok``. Each case that is refused
   has one benign twin that is ``ok`` (*twin_of* names the case), so that refusing everything fails too.
2. The bytes are all that a legacy client writes after its handshake, with their LFs, to a gateway that has
   one upstream called `echo` (`tests/peers/echo.py`) and a task that permits `echo__echo` with any arguments.
   They are written in one piece, or cut at the offsets *cuts*; with *eof* the client closes its end behind
   them.
3. *calls* is how many calls of them may reach the upstream.
4. *make* stands in for the bytes: a list of ``{b64, times}`` to be joined, for what is huge; ``{fault, n?}``
   for what an upstream does (`tests/peers/faulty.py`) when its tool `work` is called; ``{names}`` for a list
   of tools.
5. *layer* is where the answer must come from: ``line`` (cutting the stream), ``message`` (one line as one
   message), ``method`` (what the method takes), ``session`` (what went before), ``name`` (the tool's name),
   ``names`` (a list of tools), ``upstream`` (a line of an upstream), ``upstream-session`` (the same, and what
   was asked of it).

Four more files have what is no line of a client, with twins by the same rule; `rows` reads them:

- `g9-front.jsonl`, what is sent to the HTTP front: ``{id, base, change, expect, status, recorded}``. *base*
  is the request that is changed: a ``call`` of 2026-07-28, a ``legacy`` call without its session, an
  ``empty`` body. *change* has another ``token``, ``verb``, ``path``, ``headers``, headers ``without`` which
  it comes, a line that comes ``again``. *recorded* is whether one record of a refused action must be left.
- `g9-tools.jsonl`, what a pinned server lists now: ``{id, lists, expect, decision, says}``, `expect` what its
  tool `pay` is taken for, `decision` what a call of it gets, `says` what the difference has to say.
- `g9-arguments.jsonl`, what a call or a read asks for: ``{id, arguments, expect}``, `expect` the decision.
- `g9-tasks.jsonl`, what is asked about calls that clients come back for (MCP's tasks): ``{id, era, method,
  name, header?, declared?, expect, status}``. *name* is whose name it gives: one's ``own``, that of a call of
  an ``other-task`` or of one's own in the ``other-era``, or one that is none. *header* is whose `Mcp-Name`
  gives where that is another's, and *declared* whether the client says that it knows them.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


FILE = Path(__file__).with_name("g9.jsonl")
FILES = ("g9-front", "g9-tools", "g9-arguments", "g9-tasks")
_META = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{}},'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; `raw`, `fault` and `names` are empty where they don't apply."""

    id: str
    layer: str
    expect: str
    reason: str
    twin_of: str = ""
    cuts: tuple[int, ...] = ()
    eof: bool = False
    calls: int = 0
    parts: tuple[tuple[bytes, int], ...] = ()
    fault: str = ""
    n: int | None = None
    names: tuple[str, ...] = ()

    @property
    def raw(self) -> bytes:
        """All bytes, joined."""
        return b"".join(part * times for part, times in self.parts)

    @property
    def pieces(self) -> list[bytes]:
        """The bytes as they are to be written, piece by piece."""
        raw = self.raw
        return [raw[start:end] for start, end in pairwise((0, *self.cuts, len(raw)))]


def cases(*layers: str) -> Sequence[Case]:
    """The cases of these layers, or all, in the order of the file."""
    found = [_case(json.loads(line)) for line in FILE.read_text(encoding="ascii").splitlines()]
    return [case for case in found if not layers or case.layer in layers]


def rows(name: str) -> Sequence[dict[str, Any]]:
    """The rows of one of the other files, in its order."""
    lines = FILE.with_name(f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    return [json.loads(line) for line in lines]


def in_modern(raw: bytes) -> bytes:
    """The same line as a client of 2026-07-28 writes it; empty where it has no parameters to say so in."""
    head, found, rest = raw.partition(b'"params":{')
    if raw.count(found) != 1 or b'"_meta"' in raw or rest.startswith(b"}"):
        return b""
    return head + found + _META + rest


def _case(row: dict[str, Any]) -> Case:
    parts, made = row.pop("bytes_b64", None), row.pop("make", {})
    if parts is not None:
        made = [{"b64": parts, "times": 1}]
    if isinstance(made, list):
        row["parts"] = tuple((b64decode(part["b64"], validate=True), part["times"]) for part in made)
        made = {}
    row["names"] = tuple(made.pop("names", ()))
    row["cuts"] = tuple(row.get("cuts", ()))
    return Case(**row, **made)
