"""State transition tables, and answers that cannot be used as conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum


S = TypeVar("S", bound="Enum")
E = TypeVar("E", bound="Enum")


class WrongStateError(DeniedError):
    """The event is not possible in the current state."""

    code = "wrong-state"
    remedy = "look at its state first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions(Generic[S, E]):
    """A transition table; a pair that is not in `moves` is refused."""

    word: str
    moves: Mapping[tuple[S, E], S]

    def advance(self, state: S, event: E) -> S:
        """Returns the state after the event; raises WrongStateError if it is not possible."""
        after = self.moves.get((state, event))
        if after is None:
            raise WrongStateError(f"{self.word} is `{state.value}`: `{event.value}` can't happen to it now")
        return after


class NoTruth:
    """Raises when used as a condition, so that ``if decide(…)`` cannot pass by accident. Has empty slots."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError("a decision has no truth value: match on it")
