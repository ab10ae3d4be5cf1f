"""Bearers at the socket: made for whoever is in charge, and what a connection that shows one belongs to.

1. A bearer is made for a person who asks from outside of every run and gateway, and is in the answer alone.
2. A connection that shows one is its task's. The process that shows it is a gateway like any other: its
   account must be welcome as one of the task's agent.
3. Without one the task is found by the process (`flows.task.binding`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.flows.task import bind, hold_bearer, make_bearer, open_bearer
from taskbound.surfaces.api.connection import Connection
from taskbound.wire.task import BearerMade

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.task import Task
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.surfaces.api.peer import Peer
    from taskbound.wire.connection import Open
    from taskbound.wire.envelope import Answer, Push
    from taskbound.wire.task import MakeBearer

__all__ = ["new_bearer", "seat", "task_of"]


async def new_bearer(daemon: Daemon, connection: Connection, ask: MakeBearer) -> Answer:
    """A new bearer of the task (rule 1)."""

    def work() -> Answer:
        actor = daemon.require_person(connection)
        return BearerMade(
            task=ask.task, bearer=make_bearer(daemon.means, connection.namespace, ask.task, actor)
        )

    return await daemon.first(work)


def seat(daemon: Daemon, ask: Open, name: str, peer: Peer, push: Callable[[Push], None]) -> Connection:
    """The connection that an opening makes: of the agent that it names, or of its bearer's task (rule 2).

    Raises:
        BadBearerError: The bearer opens no task.
        DeniedError: Its task has ended.
    """
    task, digest = open_bearer(daemon.means, ask.namespace, ask.bearer) if ask.bearer else (None, "")
    return Connection(
        name=name,
        role=ask.role,
        namespace=ask.namespace,
        agent=ask.agent if task is None else task.agent,
        peer=peer,
        push=push,
        seat=task.id if task is not None else "",
        digest=digest,
    )


def task_of(daemon: Daemon, connection: Connection) -> Task:
    """The task of a connection (rules 2 and 3); in the worker's thread.

    Raises:
        DeniedError: There is none, or its bearer opens it no more.
    """
    if connection.seat:
        return hold_bearer(daemon.means, connection.namespace, connection.seat, connection.digest)
    return bind(
        daemon.means,
        connection.namespace,
        connection.agent,
        boot=daemon.boot,
        ancestry=connection.peer.ancestry,
    )
