"""Serves AuthZEN's endpoints: asks the daemon about calls, and answers in AuthZEN's form.

1. A request without a proof is refused unread. A bad body is reported to the daemon with the proof, which
   records it.
2. Every fault of a body is 400, also its media type (AuthZEN 1.0 §10).
3. Search endpoints are not served, because they would reveal what the rules permit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import MalformedError
from taskbound.core.identity.errors import NoProofError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.http.head import require_json
from taskbound.surfaces.network.authzen.request import Asked, read_evaluation, read_evaluations
from taskbound.surfaces.network.authzen.response import told
from taskbound.surfaces.network.errors import BadQueryError
from taskbound.surfaces.network.problem import unread
from taskbound.wire.action import ActionsEvaluated
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.surfaces.network.authzen.response import Told
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Link
    from taskbound.wire.network import Shown


ENDPOINTS: Final[Mapping[str, Callable[[bytes], Asked]]] = {
    "/access/v1/evaluation": read_evaluation,
    "/access/v1/evaluations": read_evaluations,
}
"""Where evaluations are asked for, and how each is read."""
_DECIDES: Final = 75.0
"""Seconds that the daemon may take: 64 evaluations may be decided one after the other."""
_SIGNS: Final = 15.0


class EvaluationPoint:
    """Answers evaluations."""

    def __init__(self, link: Link, origin: str) -> None:
        self._link = link
        self._origin = origin

    async def answer(self, head: Head, body: bytes, shown: Shown) -> Told:
        """Returns the answer to one request; raises the error if nothing was decided."""
        if not shown.authorization:
            raise NoProofError("the request shows no proof of who asks")  # 1
        asked = await self._read(head, body, shown)
        answer = await self._link.ask(asked.ask, shown, patience=_DECIDES)
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        if not isinstance(answer, ActionsEvaluated) or not answer.answers:
            raise TypeError("the daemon answers evaluations with their answers")
        return told(answer.answers, many=asked.many, origin=self._origin)

    async def _read(self, head: Head, body: bytes, shown: Shown) -> Asked:
        try:
            if head.query:
                raise BadQueryError("an evaluation is asked for in the body, and not in the query")
            require_json(head.headers)  # 2
            return ENDPOINTS[head.path](body)
        except MalformedError as error:
            answer = await self._link.ask(unread(error, body), shown, patience=_SIGNS)  # 1
            if isinstance(answer, Fault):
                raise RefusedByDaemonError(answer) from error
            raise
