"""How a client speaks: what it was told, what it looks for, and the one task that a block of it has.

1. Making one does nothing: what it needs is looked for, loaded and connected with the first call.
2. A function that blocks is guarded by a `Client`, one that is awaited by an `AsyncClient`: neither waits in
   the other's way.
3. Guarded functions that are called within a client's block, or its task's, belong to it.
4. A client has one task that a block of it started, at a time: another block within it or beside it is
   refused, since what it calls would run in the first one's task, under its purpose and scope. A task that
   was started and can't be belonged to is ended.
5. Over the network a task is joined that is named, and else started with the token of whoever it is for.
6. A block that is cancelled while its task begins over the network, or while it ends, leaves none behind:
   what began is ended, and `close` waits for that.
7. What a client needs it makes once, also where threads ask for it at once (`cached_property` alone does so
   until Python 3.11): with two keys and two ideas of its task, what one began the other could not end.
8. Threads, and tasks of an event loop, may each have a block of one client, and blocks may stand within each
   other, that of a task too: who leaves one ends nobody else's, and no call that is under way wherever it
   is. The last block closes the client; that of a task ends its connections, and the next call has new ones.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, overload

from taskbound.sdk.guard.errors import NoTaskHereError, NotCarriedError, SignatureError, TaskNotStartedError
from taskbound.sdk.guard.flow import Holds
from taskbound.sdk.guard.guarded import Guards, current

if TYPE_CHECKING:
    from taskbound.sdk.guard.afar import Afar
    from taskbound.sdk.guard.guarded import Guarded
    from taskbound.sdk.guard.link import Place
    from taskbound.sdk.guard.near import Near
    from taskbound.sdk.guard.proof import SubjectToken
    from taskbound.sdk.guard.told import Outside, Told


P = ParamSpec("P")
R = TypeVar("R")
_before: ContextVar[tuple[Guards | None, ...]] = ContextVar("taskbound_before", default=())
"""What functions belonged to before each block that was entered in this context."""
_NEAR: Final = 2.0
"""Seconds between two signs of life of a task's block, on this machine."""


class made_once(cached_property[R]):  # noqa: N801 -- named as what it stands beside, `cached_property`
    """What is made when it is first asked for, once (rule 7)."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> R: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | R:
        """What was made."""
        if not isinstance(instance, Speaker):
            return self
        with instance.making:
            return super().__get__(instance, owner)


class Speaker(Guards):
    """What both clients know; each waits in its own way."""

    def __init__(self, told: Told, outside: Outside) -> None:
        """Do nothing yet (rule 1)."""
        self._told = told
        self._outside = outside
        self._holds = Holds()
        self._blocks = 0
        self._turn = threading.RLock()
        """Held while blocks and calls begin, and while connections end that none of them needs (rule 8)."""
        self.making = threading.RLock()
        """Held while something is made (rule 7)."""
        self._begun = False
        """Whether a block of this client has started a task that it still runs in."""

    def _place(self) -> Place:
        return self._outside.place(self._told)

    @made_once
    def _afar(self) -> Afar:
        from taskbound.sdk.guard.afar import Afar  # noqa: PLC0415 -- rule 1

        told = self._told
        task = told.task or self._outside.task()
        if not task and told.subject is None:
            raise NoTaskHereError("no task is named, and over the network none is looked for")
        if told.proof is None:
            raise NoTaskHereError(
                "nothing proves the agent", remedy="give the client a `proof=` (`taskbound.Proof`)"
            )
        return Afar(
            origin=told.origin,
            task=task,
            namespace=told.namespace or "default",
            domain=told.domain,
            proof=told.proof,
            key=self._outside.key(None if told.subject is None else told.subject.key),
            now=self._outside.now,
        )

    def _held(self) -> Afar:
        """What is spoken for over the network, for what there is no other way to do."""
        if not self._told.origin:
            raise NoTaskHereError(
                "a token is handed on over the network", remedy="on one machine: `taskbound task delegate`"
            )
        return self._afar

    def _carrying(self) -> Afar:
        """What a permit is carried on by."""
        if not self._told.origin:
            raise NotCarriedError(
                "this client asks over the daemon's socket, whose permits have no token",
                remedy="use the API on this machine: `Client('http://127.0.0.1:8700', proof=…)`",
            )
        return self._afar

    def _near(self, place: Place) -> Near:
        from taskbound.sdk.guard.near import Near  # noqa: PLC0415 -- rule 1

        return Near(namespace=place.namespace, agent=place.agent)

    def _starts_afar(self) -> SubjectToken | None:
        """Whose token starts the task of a block over the network; None where one is named (rule 5)."""
        return None if self._told.task or self._outside.task() else self._told.subject

    def _every(self) -> float:
        """Seconds between two signs of life."""
        return self._afar.every if self._told.origin else _NEAR

    def _claim(self, named: str) -> bool:
        """Whether a block is to start a task: where none is named, and no block of this client did (rule 4).

        Raises:
            TaskNotStartedError: One did: what is called within it is of its task, and of no other.
        """
        with self._turn:
            if self._begun:
                raise TaskNotStartedError(
                    "a block of this client has started a task, and is not over",
                    remedy="call what belongs to that task within its block, and leave it before the next",
                )
            self._begun = not named
            return self._begun

    def _unclaim(self) -> None:
        """No block of this client runs in a task that it started any more."""
        with self._turn:
            self._begun = False

    def _into(self) -> None:
        """Guarded functions that are called from here on, in this context, belong to it (rule 3)."""
        _before.set((*_before.get(), current.get()))
        current.set(self)
        self._came()

    def _out(self) -> bool:
        """They belong to what they did before; says whether no block of this is left (rule 8)."""
        if before := _before.get():  # none in another context than it was entered in
            _before.set(before[:-1])
            current.set(before[-1])
        return self._went()

    def _came(self) -> None:
        """There is a block more (rule 8); a client that was closed is open again."""
        with self._turn:
            self._blocks += 1
        if (web := vars(self).get("_web")) is not None:
            web.open()

    def _went(self) -> bool:
        """There is a block less; says whether none is left (rule 8)."""
        with self._turn:
            self._blocks -= 1
            return self._blocks == 0

    def _is_needed(self, *, running: bool) -> bool:
        """Whether its connections are: by a block, or by a call that is under way."""
        with self._turn:
            return running or self._blocks > 0

    def _to_rest(self, *, idle: bool, joined: bool) -> tuple[Any, ...]:
        """The connections that nobody needs any more, as the block of a task is over (rule 8).

        Args:
            idle: Whether no call is under way, and nothing owed.
            joined: Whether its task goes on, with what people are asked on the connection.
        """
        if not joined:
            self._holds.over()
        if not self._went() or not idle or not self._holds.are_none:
            return ()
        return self._spoken_over()

    def _spoken_over(self) -> tuple[Any, ...]:
        """What of it has connections."""
        return tuple(one for name in ("_link", "_web") if (one := vars(self).get(name)) is not None)

    def _wanted(self, function: Guarded[P, R], *, awaited: bool) -> None:
        if function.is_awaited is not awaited:
            kind = "an `AsyncClient`" if function.is_awaited else "a `Client`"
            raise SignatureError(
                f"`{function.tool}` is for {kind}",
                remedy="guard what is awaited by an AsyncClient, and what blocks by a Client",
            )  # 2
