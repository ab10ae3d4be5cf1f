"""Total tables of transitions, and answers that must be matched on instead of used as conditions."""

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
    """The thing is in a state in which this can't happen."""

    code = "wrong-state"
    remedy = "look at its state first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions(Generic[S, E]):
    """What each event does in each state; a pair that is not in `moves` refuses."""

    word: str
    moves: Mapping[tuple[S, E], S]

    def advance(self, state: S, event: E) -> S:
        """The state after the event.

        Raises:
            WrongStateError: The event can't happen in this state.
        """
        after = self.moves.get((state, event))
        if after is None:
            raise WrongStateError(f"{self.word} is `{state.value}`: `{event.value}` can't happen to it now")
        return after


class NoTruth:
    """Refuses to be used as a condition, so that ``if decide(…)`` can't pass by accident.

    It has empty slots, and a dataclass with ``slots=True`` may inherit from it.
    """

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        """Raise.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a decision has no truth value: match on it")
