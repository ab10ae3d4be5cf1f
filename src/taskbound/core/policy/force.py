"""Which bundle is in force in a namespace, and who may put another one there.

1. A bundle is put in force by another human than its author, where two or more are present; persons who are
   linked are one. Who is alone may do it themselves, and the record says so.
2. Going back is possible only to what was in force before, and anybody may: it was put there by this rule.
3. Each change has the next number, and is made over what its maker looked at: of two that are made at once
   one holds, and the other is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.person import PersonState, human_of, humans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.identity import Person


class AuthorActivatesError(DeniedError):
    """Who proposed a bundle wants to put it in force, and there is somebody else who could."""

    code = "author-activates"
    remedy = "ask another person to look at it with `taskbound policy diff`, and to activate it"


class UnknownBundleError(DeniedError):
    """No bundle of this digest is kept."""

    code = "unknown-bundle"
    remedy = "list them with `taskbound policy list`"


class MovedInForceError(DeniedError):
    """Another bundle was put in force while this one was looked at."""

    code = "moved-in-force"
    remedy = "look again at what would change, with `taskbound policy diff`, and activate it then"


class NotInForceBeforeError(DeniedError):
    """What was never in force can't be gone back to."""

    code = "not-in-force-before"
    remedy = "see what was with `taskbound policy list`; what is new is put in force with `policy activate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force in a namespace."""

    epoch: int = 0
    """How often that was changed (rule 3)."""
    digest: str = ""
    """Of the bundle; empty for the rules that come with Taskbound, alone."""


def require_activator(author: str, activator: str, persons: Mapping[str, Person]) -> bool:
    """Go on only when this person may put the author's bundle in force (rule 1); whether they are alone.

    Raises:
        AuthorActivatesError: They are the author, and not alone.
    """
    present = [name for name, one in persons.items() if one.state is PersonState.PRESENT]
    own = human_of(author, persons)
    if human_of(activator, persons) != own:
        return False
    if humans(present, persons) - {own}:
        raise AuthorActivatesError(f"`{author}` proposed this bundle and is not the only person here")
    return True


def require_unmoved(seen: InForce, now: InForce) -> None:
    """Go on only when what is in force is what was in force when it was looked at (rule 3).

    Raises:
        MovedInForceError: It is not.
    """
    if seen != now:
        raise MovedInForceError(f"bundle `{now.digest or 'base'}` was put in force meanwhile")


def require_earlier(now: InForce, past: Iterable[InForce], told: str | None) -> str:
    """The digest to go back to (rule 2).

    Args:
        now: What is in force.
        past: What was in force until now, newest first.
        told: The digest that was asked for, empty for the base alone; None for the one before.

    Raises:
        NotInForceBeforeError: It was never in force, or there was none before.
    """
    earlier = [one.digest for one in past if one.epoch < now.epoch]
    if told is None:
        if not earlier:
            raise NotInForceBeforeError("nothing was in force before this")
        return earlier[0]
    if told not in earlier:
        raise NotInForceBeforeError(f"bundle `{told or 'base'}` was not in force before")
    return told
