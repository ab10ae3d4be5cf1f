"""Operations of a service that keeps its claims here: what it begins, what came of it, what serves once.

1. Whose a claim is follows from the service's proof, and from nothing that is said.
2. An answer is bytes to us: nothing here reads what a service answered, and no log is told it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, assert_never

from taskbound.core.clock import Instant
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import TokenProof
from taskbound.core.token.served import Begun, StillServing, Unfinished
from taskbound.core.token.shared import (
    Answered,
    BadClaimError,
    parse_answer,
    parse_wish,
    require_named,
)
from taskbound.flows.token.sharing import Asker
from taskbound.surfaces.api.service import require_service_seat
from taskbound.wire.connection import Done
from taskbound.wire.service import RequestRow

if TYPE_CHECKING:
    from taskbound.core.token.shared import SharedBeginning
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.service import AnswerRequest, BeginRequest, UseProof


async def begin_request(daemon: Daemon, connection: Connection, ask: BeginRequest) -> Answer:
    """Begin a request for all machines of the service, or say what is known of it."""
    asker = _asker(connection)
    wish = parse_wish(
        txn=ask.txn, token=ask.token, request=ask.request, claimant=ask.claimant, takes=ask.takes
    )
    return request_row(await daemon.first(lambda: daemon.shared_claims.begin(asker, wish)))


async def answer_request(daemon: Daemon, connection: Connection, ask: AnswerRequest) -> Answer:
    """Keep what came of a request."""
    asker = _asker(connection)
    require_named(ask.txn, ask.request, ask.claimant)
    answer = _parsed(ask.answer) if ask.answer else None

    def work() -> Answer:
        daemon.shared_claims.answer(
            asker, txn=ask.txn, request=ask.request, claimant=ask.claimant, answer=answer
        )
        return Done()

    return await daemon.first(work)


async def use_proof(daemon: Daemon, connection: Connection, ask: UseProof) -> Answer:
    """Use what serves once."""
    asker = _asker(connection)

    def work() -> Answer:
        daemon.shared_claims.use(asker, ask.kind, ask.digest, Instant(ask.until))
        return Done()

    return await daemon.first(work)


def request_row(found: SharedBeginning) -> RequestRow:
    """What is known of a request, as it is told."""
    match found:
        case Begun():
            return RequestRow(state="begun")
        case Answered(answer=answer):
            return RequestRow(state="answered", answer=b64encode(answer).decode("ascii"))
        case StillServing():
            return RequestRow(state="still")
        case Unfinished():
            return RequestRow(state="unknown")
        case _ as never:
            assert_never(never)


def _asker(connection: Connection) -> Asker:
    principal = require_service_seat(connection)
    if not isinstance(principal.proof, TokenProof):
        raise UnprovenError("only a service asks for that, with a token of its own")
    return Asker(namespace=principal.namespace, service=principal.name, token=principal.proof.token)  # 1


def _parsed(text: str) -> bytes:
    try:
        return parse_answer(b64decode(text, validate=True))
    except ValueError as error:
        raise BadClaimError("the answer is not in base64", where="answer") from error
