"""A request that is done once, however often it is sent.

1. Its key is durable before it is done, its answer before it is told (law 5).
2. What was refused took no effect, and its key is free again: another try is a new decision (law 7).
3. What failed as nobody foresaw keeps its key without an answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.identity.answered import answer_to

if TYPE_CHECKING:
    from taskbound.core.identity.answered import Answered
    from taskbound.flows.means import Means


_APART: Final = minutes(2)
_TURN: Final = 1000


def begin_answer(means: Means, asked: Answered) -> str:
    """Keep the key of a request that is about to be done; or the answer that it had before.

    Returns:
        The answer's text; empty when the request is to be done now.

    Raises:
        KeyReusedError: The key is another request's.
        AnswerUnknownError: It came before, and nobody knows what became of it.
    """
    known = means.store.write(lambda tx: tx.answered.begin(asked, now=means.clock.now()))
    return "" if known is None else answer_to(asked, known)


def finish_answer(means: Means, asked: Answered, answer: str) -> None:
    """Keep what it was answered (rule 1)."""
    means.store.write(lambda tx: tx.answered.finish(replace(asked, answer=answer)))


def forget_answer(means: Means, asked: Answered) -> None:
    """Free the key of a request that was refused (rule 2)."""
    means.store.write(lambda tx: tx.answered.forget(asked))


def sweep_answers(means: Means) -> int:
    """Forget those whose time is over, a thousand at most; how many were."""
    before = Instant(means.clock.now() - _APART)
    return means.store.write(lambda tx: tx.answered.sweep(before, limit=_TURN))
