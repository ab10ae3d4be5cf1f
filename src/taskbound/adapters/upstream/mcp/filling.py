"""Values in the slots of one server, on their way into it; only who holds the secrets makes one.

1. A variable goes into the environment that the server is started with, a header and a parameter go with each
   request to its URL. An argument goes into a call, and is not put in here.
2. Tokens of OAuth go with each request to a URL as well. They come and go while the server is spoken to, so
   that each request asks for the one of its moment.
3. No value is in a repr.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.tool import Slot


class Tokens(Protocol):
    """The tokens of one server (rule 2)."""

    async def current(self) -> str:
        """A token that is good now. MUST raise `TaskboundError` without one."""

    def refused(self, token: str) -> None:
        """The server did not take this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What is put in, by name (rule 1)."""

    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: str = field(default="", repr=False)
    """Parameters as they stand in a URL, without a mark before them."""
    tokens: Tokens | None = field(default=None, repr=False)

    def target(self, target: str) -> str:
        """A request's target with the parameters."""
        if not self.query:
            return target
        return f"{target}{'&' if '?' in target else '?'}{self.query}"


def fill(values: Mapping[Slot, str], tokens: Tokens | None = None) -> Filling:
    """What is put into a server with these values, and with these tokens."""
    ordered = sorted(values.items(), key=lambda one: one[0].text)
    return Filling(
        environment=tuple((slot.name, value) for slot, value in ordered if slot.kind == "environment"),
        headers=tuple((slot.name, value) for slot, value in ordered if slot.kind == "header"),
        query="&".join(
            f"{quote(slot.name, safe='')}={quote(value, safe='')}"
            for slot, value in ordered
            if slot.kind == "query"
        ),
        tokens=tokens,
    )
