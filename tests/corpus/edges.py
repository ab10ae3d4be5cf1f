"""The attack corpus at the network's edge: credentials of G7 and G8 before a real API, with one fault each.

`edges.jsonl` has one case a line, ``{id, what, expect, why}`` and the fault:

1. *what* is the credential: ``person`` (a token for `/v1`), ``subject`` (a task token that is exchanged),
   ``dpop`` (a proof at `/v1`), ``form`` (a proof at the token endpoint), ``assertion``, ``svid`` or ``oidc``
   (what proves a client there).
2. *expect* is the code of the error, which stands in the reference; *status* what is answered, 401 where it
   is missing; *error* OAuth's word, at its endpoints.
3. The fault is one of: *claims* and *header* (changed, signed anew by *signer*: ``own`` or ``stranger``),
   *cut* (so many characters are missing at the end), *flip* (the character at this place from the end is
   another), *long* (so many are added within the claims), *wait* (seconds until it is shown), *early*
   (seconds that it was made too soon), *again* (it was shown before), *world* (what happens between:
   ``task-ended`` …), *issuer* (how the one behaves that publishes keys).
4. *records* is how many `proof-refused` stay: 1 where a credential, a token or a proof is refused (0057, 5);
   *edge* how many `request-refused`: 1 where the process that listens read no more of the request (0065, 11).

The benign twin of a case is the same credential without the fault, which passes right before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("edges.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; what is empty is as in one that is right."""

    id: str
    what: str
    expect: str
    why: str
    status: int = 401
    error: str = ""
    records: int = 0
    edge: int = 0
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    signer: str = ""
    cut: int = 0
    flip: int = 0
    long: int = 0
    wait: float = 0
    early: float = 0
    again: bool = False
    world: str = ""
    issuer: str = ""


def cases() -> list[Case]:
    """All of them, in the order of the file."""
    return [Case(**json.loads(line)) for line in FILE.read_text(encoding="ascii").splitlines()]
