"""All nodes of a target in one call: at once, each by a thread of its own, none of which another waits for.

1. A node that hangs has the call's patience and no more: what is asked of the others was done meanwhile.
2. Where anything is to be made, all of them are connected to before anything is sent to any.
3. A connection is kept for the calls that come, `KEPT` of them at most for each node: a new one costs a
   login, and where a server has as many as it takes, whoever holds them there does not keep out who is in.
   One that was shut, that says what nobody asked, or by which a thread is late, is of no use. They go with
   the target that they are kept for.
4. One more to each node is kept for ends alone, by which nothing is heard. Whoever keeps a server busy for
   longer than calls may take has the others given up, and may hold all connections that it takes from then
   on: so an end that nobody is let in with is told by this one, and frees them.
5. What one of them met is what the call met: that the target could not be reached only where no node was sent
   anything, and a refusal before what may pass by itself.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.adapters.targets.redis.link import connect
from taskbound.core.errors import TaskboundError
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

    from taskbound.adapters.targets.redis.link import Link
    from taskbound.adapters.targets.redis.protocol import Answer
    from taskbound.core.target import RedisNode, RedisPlace


T = TypeVar("T")
U = TypeVar("U")
KEPT: Final = 2
"""Connections that are kept for each node (rule 3)."""
_TOLD: Final = 0.25
"""Seconds that an end may take to be sent by the one that is kept for it (rule 4)."""
_LATER: Final = 0.25
"""Seconds that a thread may be late with saying that its time is over."""


class Nodes:
    """The nodes of a place, for one user."""

    def __init__(self, place: RedisPlace, tls: ssl.SSLContext | None, user: str, password: str) -> None:
        """Connect to these as this user."""
        self._place = place
        self._tls = tls
        self._user, self._password = user, password
        self._kept: dict[RedisNode, list[Link]] = {one: [] for one in place.at}
        self._spare: dict[RedisNode, list[Link]] = {one: [] for one in place.at}
        """Of each node the one that is kept for ends, or none (rule 4)."""
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept, self._spare)

    @contextmanager
    def linked(self, patience: float) -> Iterator[tuple[Link, ...]]:
        """A connection to each of them (rule 2).

        Raises:
            TargetUnreachedError: Not all of them can be reached; nothing was sent.
        """
        deadline = time.monotonic() + patience
        found = [self._next(one, deadline) for one in self._place.at]
        with ExitStack() as open_:  # what a thread that is late connects to is closed with it
            links = [one for one in found if one is not None]
            for one in links:
                open_.callback(self._keep, one)
            if len(links) < len(found):
                some = [at for at, one in zip(self._place.at, found, strict=True) if one is None]
                more = _together(some, partial(self._connect, deadline=deadline), deadline)
                for new in more:
                    if not isinstance(new, TaskboundError):
                        open_.callback(self._keep, new)
                new_ones = iter(_all_linked(more))
                links = [one or next(new_ones) for one in found]
            yield tuple(links)

    def each(
        self,
        first: Sequence[Sequence[str]],
        do: Callable[[Link, list[Answer]], T],
        patience: float,
        *,
        unheard: Sequence[Sequence[str]],
    ) -> list[T]:
        """What is done at each node that can be reached, whatever comes of the others (rule 1).

        Args:
            first: Is sent before anything is waited for, with the login where there is one.
            do: What is done then, with what was answered to that.
            patience: Seconds for all of it.
            unheard: Is sent where nobody is let in, by the connection that is kept for that (rule 4).

        Raises:
            TargetUnreachedError: None of them was sent anything.
            TargetRefusedError: One of them refuses the admin something.
            TargetUnavailableError: One of them can't be reached, or didn't do it.
        """
        deadline = time.monotonic() + patience

        def run(node: RedisNode) -> T:
            link = self._next(node, deadline)
            if link is not None:
                with self._keeping(link):
                    return do(link, link.raw(*first))
            try:
                link, answers = self._connected(node, deadline, first)
            except TargetUnavailableError as error:
                if not self._told(node, unheard):
                    raise
                raise TargetUnavailableError(error.message, remedy=error.advice) from None
            with self._keeping(link):
                return do(link, answers)

        return _whole(_together(self._place.at, run, deadline))

    def close(self) -> None:
        """Leave all of them."""
        with self._lock:
            _close(self._kept, self._spare)

    def _connect(self, node: RedisNode, *, deadline: float) -> Link:
        return self._connected(node, deadline, ())[0]

    def _connected(
        self, node: RedisNode, deadline: float, first: Sequence[Sequence[str]]
    ) -> tuple[Link, list[Answer]]:
        return connect(node, self._tls, self._user, self._password, deadline=deadline, first=first)

    @contextmanager
    def _keeping(self, link: Link) -> Iterator[None]:
        try:
            yield
        finally:
            self._keep(link)

    def _next(self, node: RedisNode, deadline: float) -> Link | None:
        """A connection that was kept, and is of use (rule 3)."""
        while True:
            with self._lock:
                link = self._kept[node].pop() if self._kept[node] else None
            if link is None or link.again(deadline):
                return link
            link.close()

    def _keep(self, link: Link) -> None:
        with self._lock:
            kept = self._kept[link.node]
            if len(kept) < KEPT and link.is_kept:
                kept.append(link)
                return
        link.close()

    def spare(self, patience: float) -> None:
        """Have of each node the connection that is kept for ends (rule 4), where that can be had."""
        deadline = time.monotonic() + patience
        with self._lock:
            lacking = [one for one, some in self._spare.items() if not (some and some[0].lives)]
        for new in _together(lacking, partial(self._connect, deadline=deadline), deadline):
            if isinstance(new, TaskboundError):
                continue  # whoever asks next tries again: what was asked before was answered
            with self._lock:
                some = self._spare[new.node]
                while some:
                    some.pop().close()
                some.append(new)

    def _told(self, node: RedisNode, commands: Sequence[Sequence[str]]) -> bool:
        """Whether these were sent by the connection that is kept for that (rule 4)."""
        with self._lock:
            spare = self._spare[node]
            if not spare:
                return False
            try:
                spare[0].tell(commands, time.monotonic() + _TOLD)
            except TaskboundError:
                spare.pop().close()
                return False
        return True


def _close(*kept: dict[RedisNode, list[Link]]) -> None:
    for some in (links for each in kept for links in each.values()):
        while some:
            some.pop().close()


def _all_linked(found: Sequence[Link | TaskboundError]) -> list[Link]:
    """All of them; raises that nothing was sent."""
    trouble = next((one for one in found if isinstance(one, TaskboundError)), None)
    if trouble is None:
        return _whole(found)
    if isinstance(trouble, TargetUnreachedError):
        raise trouble
    raise TargetUnreachedError(trouble.message) from None


def at_all(links: Sequence[Link], do: Callable[[Link], T]) -> list[T]:
    """What is done at each of these, at once, in their order.

    Raises:
        TargetRefusedError: As `Nodes.each`.
        TargetUnavailableError: As `Nodes.each`, and never that nothing was sent.
    """
    if len(links) == 1:
        return _sent(_together(links, do, 0.0))
    deadline = time.monotonic() + min(one.left for one in links)
    busy = set(links)

    def run(link: Link) -> T:
        try:
            return do(link)
        finally:
            busy.discard(link)

    found = _together(links, run, deadline)
    for one in tuple(busy):
        one.spoil()  # 3
    return _sent(found)


def _sent(found: Sequence[T | TaskboundError]) -> list[T]:
    """What all of them answered; raises as `at_all`."""
    try:
        return _whole(found)
    except TargetUnreachedError as error:
        raise TargetUnavailableError(error.message) from None


def _together(each: Sequence[U], do: Callable[[U], T], deadline: float) -> list[T | TaskboundError]:
    """What is done with each, or what it raised; what isn't over at the deadline is too late (rule 1)."""
    if len(each) == 1:
        return [_done(do, each[0])]
    found: list[T | TaskboundError] = [
        TargetUnavailableError("a node took longer than the call may take") for _ in each
    ]

    def run(number: int, one: U) -> None:
        found[number] = _done(do, one)

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in enumerate(each)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(max(0.0, deadline + _LATER - time.monotonic()))
    return list(found)


def _done(do: Callable[[U], T], one: U) -> T | TaskboundError:
    try:
        return do(one)
    except TaskboundError as error:
        return error


def _whole(found: Sequence[T | TaskboundError]) -> list[T]:
    """What all of them answered; raises the first error of the worst kind (rule 5)."""
    done = [one for one in found if not isinstance(one, TaskboundError)]
    if len(done) == len(found):
        return done
    errors = [one for one in found if isinstance(one, TaskboundError)]
    refused = [one for one in errors if isinstance(one, TargetRefusedError)]
    lost = [one for one in errors if not isinstance(one, TargetRefusedError | TargetUnreachedError)]
    if refused:
        raise refused[0]
    if lost:
        raise lost[0]
    if len(errors) < len(found):  # others were sent something
        raise TargetUnavailableError(errors[0].message) from None
    raise errors[0]
