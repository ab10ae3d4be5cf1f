"""How the API answers: a document, or a problem, or an error in AuthZEN's words.

1. An answer is whole, and told at once.
2. A document that is the same for everybody has an entity tag, and who has it already is told so (304).
3. Where AuthZEN is spoken every error is told in its words, by whoever it was found, and every answer has the
   id of its request: also of one that was refused before it was whole (`authzen.request_id`).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import h11

from taskbound.surfaces.http import head as http
from taskbound.surfaces.network.authzen.response import refused, told_back
from taskbound.surfaces.network.problem import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.http.connection import RawHead
    from taskbound.surfaces.http.head import Carrier
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Refusal
    from taskbound.wire.connection import Fault


JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_OK: Final = 200
_SAME: Final = 304
_KEPT: Final = "public, max-age=60"


class Reply(http.Reply):
    """How one request is answered."""

    def __init__(
        self,
        carrier: Carrier,
        head: Head | None,
        raw: RawHead | None,
        *,
        metadata: str,
        told: Callable[[int], None],
    ) -> None:
        """Answer over this connection.

        Args:
            carrier: The connection.
            head: The request's; none of one that is refused before it is whole.
            raw: The same as it was written; none where it could not be read.
            metadata: Where the API says whom to ask for a token.
            told: Is called with the status once it is told.
        """
        super().__init__(carrier, last=head is None)
        self._back = None if raw is None else told_back(raw.target, raw.fields)
        """What every answer has where AuthZEN is spoken; none where it is not (rule 3)."""
        self._metadata = metadata
        self._tried = "" if head is None else head.headers.get("authorization", "")
        self._told = told
        self.address = ""
        """Where the request comes from."""
        self.trace = ""
        """Which trace what is asked for it belongs to."""
        self.chain: tuple[bytes, ...] = ()
        """The client's certificates, as TLS proved them."""

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> h11.Response:
        return super()._head(status, [*headers, *(self._back or ())])  # 3

    def give(
        self, body: bytes, *, kind: str = JSON, status: int = _OK, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Give the answer."""
        if self._over:
            return
        told = [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]
        events: list[h11.Event] = [self._head(status, told)]
        if body:
            events.append(h11.Data(data=body))
        self._told(status)
        self._end(*events)

    def give_document(self, body: bytes, *, kind: str = JSON, had: str = "", vary: str = "") -> None:
        """Give a document that is the same for everybody, unless the client has it (rule 2).

        Args:
            body: The document.
            kind: What it is.
            had: What the client has, as `If-None-Match` says it.
            vary: The header by which its answers differ; empty for none.
        """
        if self._over:
            return
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        kept = [("ETag", tag), ("Cache-Control", _KEPT), *((("Vary", vary),) if vary else ())]
        if had.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in had.split(",")}:
            self._told(_SAME)
            self._end(self._head(_SAME, kept))
        else:
            self.give(body, kind=kind, headers=kept)

    def refuse(self, error: TaskboundError | Fault) -> None:
        """Answer with what is wrong, under the status that it has."""
        if self._over:
            return
        if self._back is None:
            self.tell(problem_of(error, self._metadata, self._tried))
            return
        found = refused(error, self._metadata, self._tried)  # 3
        self.give(found.body, kind=found.kind, status=found.status, headers=found.headers)

    def tell(self, refusal: Refusal) -> None:
        """Answer with this problem."""
        self.give(refusal.body, kind=_PROBLEM, status=refusal.problem.status, headers=refusal.headers)
