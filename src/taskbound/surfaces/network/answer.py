"""How the API answers: a document, a problem, or an error in AuthZEN's form.

1. An answer is complete and sent at once.
2. A public document has an entity tag, and a client that has it gets 304.
3. On AuthZEN paths every error has AuthZEN's form and every answer the id of its request
   (`authzen.request_id`).
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
    """The answer to one request."""

    def __init__(
        self,
        carrier: Carrier,
        head: Head | None,
        raw: RawHead | None,
        *,
        metadata: str,
        told: Callable[[int], None],
    ) -> None:
        """`head` may be None for a request refused before it was complete, `raw` for an unreadable one.

        `metadata` is the URL of the resource metadata; `told` is called with the status after the answer.
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
        """Sends the answer."""
        if self._over:
            return
        told = [("Content-Type", kind), ("Content-Length", str(len(body))), *headers]
        events: list[h11.Event] = [self._head(status, told)]
        if body:
            events.append(h11.Data(data=body))
        self._told(status)
        self._end(*events)

    def give_document(self, body: bytes, *, kind: str = JSON, had: str = "", vary: str = "") -> None:
        """Sends a public document, or 304 if `had` (`If-None-Match`) names its tag (rule 2).

        `vary` is the header that selects the form; empty for none.
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
        """Answers with an error, under its status."""
        if self._over:
            return
        if self._back is None:
            self.tell(problem_of(error, self._metadata, self._tried))
            return
        found = refused(error, self._metadata, self._tried)  # 3
        self.give(found.body, kind=found.kind, status=found.status, headers=found.headers)

    def tell(self, refusal: Refusal) -> None:
        """Answers with this problem."""
        self.give(refusal.body, kind=_PROBLEM, status=refusal.problem.status, headers=refusal.headers)
