"""What a new token may be: how long it lives, who acts, what it is bound to.

1. A task token and a person's live 300 seconds at most, a transaction token 30; none lives longer than its
   task or what proved who asks for it, nor, when it is exchanged for another one of the same task, than that
   one. Times are whole seconds, cut off: a token never ends a moment late (I-44).
2. The chain of those who act grows at its front, has six at most, and names nobody twice. For whom they act
   is none of them (RFC 8693 §4.1): a chain in a circle says nothing of who did what.
3. A binding is never dropped, and what is made of a bound token is bound as firmly or more so (I-42): a
   bearer token before DPoP, DPoP before mutual TLS, which covers every byte of a request.
4. What a token is exchanged for goes to whom its holder meant, and to nobody who merely has its text: to its
   own agent, which is proven and could name the task instead; to the one that it names (`may_act`, RFC 8693
   §4.4); or to whoever shows the very key that it is bound to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.identity.proof import BindingKind
from taskbound.core.token.errors import (
    ActorChainError,
    BadTokenLifeError,
    NotMeantError,
    UnboundTokenError,
    WeakerBindingError,
)
from taskbound.core.token.values import TokenForm, agent_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.identity.proof import Binding
    from taskbound.core.token.values import Token


LONGEST: Final = 300
"""Seconds of a task token and of a person's (rule 1)."""
SHORT: Final = 30
"""Seconds of a transaction token (rule 1)."""
DEPTH: Final = 6
"""Those who act, with those they act for (rule 2)."""
_SECOND: Final = seconds(1)
_FIRM: Final = {None: 0, BindingKind.DPOP: 1, BindingKind.MTLS: 2}


def parse_life(asked: object, form: TokenForm) -> int:
    """The seconds that somebody asked for; 0 asks for as many as may be.

    Raises:
        BadTokenLifeError: That is no whole number of seconds that such a token can live (rule 1).
    """
    most = SHORT if form is TokenForm.TRANSACTION else LONGEST
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 <= asked <= most:
        raise BadTokenLifeError(f"such a token lives 1 to {most} seconds")
    return asked or most


def life_of(life: int, now: Instant, *ends: Instant) -> tuple[Instant, Instant]:
    """When a token is issued and when it ends, both in whole seconds (rule 1).

    Args:
        life: Seconds, as `parse_life` gave them.
        now: When.
        ends: What it can't outlive: the task's deadline, the end of a credential, of the token before.

    Raises:
        BadTokenLifeError: Less than a second is left.
    """
    issued = Instant(now - now % _SECOND)
    end = min([Instant(issued + seconds(life)), *ends])
    expires = Instant(end - end % _SECOND)
    if expires <= now:
        raise BadTokenLifeError("less than a second is left of what the token would rest on")
    return issued, expires


def extend_chain(actor: str, before: Sequence[str], subject: str) -> tuple[str, ...]:
    """Those who act when this one acts for them (rule 2), by name, the present one first.

    Raises:
        ActorChainError: There are too many, one is in it twice, or it is the one for whom they act.
    """
    chain = (actor, *before)
    if len(chain) > DEPTH:
        raise ActorChainError(f"a task is handed on at most {DEPTH - 1} times by its tokens")
    if len(set(chain)) != len(chain):
        raise ActorChainError(f"`{actor}` has acted in this chain before")
    if subject in chain:
        raise ActorChainError(f"`{subject}` can't act for itself")
    return chain


def chain_of(agents: Sequence[str], subject: str) -> tuple[str, ...]:
    """Those who act in a task, by the agents of it and of its ancestors, nearest first (rule 2).

    An agent that was handed a part of its own task acts once.

    Raises:
        ActorChainError: They can't be told in one line.
    """
    chain: tuple[str, ...] = ()
    for one in reversed(agents):
        if chain[:1] != (one,):
            chain = extend_chain(one, chain, subject)
    return chain


def require_bound(binding: Binding | None) -> Binding:
    """The key that a token is to be bound to (rule 3).

    Raises:
        UnboundTokenError: There is none.
    """
    if binding is None:
        raise UnboundTokenError("nothing was shown that the token could be bound to")
    return binding


def require_as_firm(binding: Binding | None, before: Binding | None) -> None:
    """Go on only when a token is bound as firmly as the one that it is made of (rule 3).

    Raises:
        WeakerBindingError: It is not.
    """
    if _FIRM[None if binding is None else binding.kind] < _FIRM[None if before is None else before.kind]:
        raise WeakerBindingError("the token would be bound less firmly than the one that it is made of")


def require_meant(subject: Token, agent: str, shown: Binding | None) -> None:
    """Go on only when the holder of a token meant this agent to exchange it (rule 4).

    Args:
        subject: The token that is exchanged.
        agent: The agent that exchanges it, proven, of the token's namespace.
        shown: The key that the request was made with.

    Raises:
        NotMeantError: The holder did not.
    """
    if subject.form is TokenForm.TASK and subject.agent == agent:
        return
    if subject.may_act == agent_name(subject.namespace, agent):
        return
    if subject.binding is not None and subject.binding == shown:
        return
    raise NotMeantError(f"the token's holder did not name agent `{agent}`, and its own key is not shown")
