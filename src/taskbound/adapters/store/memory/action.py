"""Actions, and what is known of acts, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.action import ActionState, PriorAction
from taskbound.core.decision import ActHistory, Presented
from taskbound.ports.action import OpenPermit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.ports.action import OutcomeChange, StoredAction

__all__ = ["MemoryActions"]

_OPEN = frozenset({ActionState.PERMITTED, ActionState.SENT})


class MemoryActions:
    """Reads actions of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def action(self, namespace: str, action: str) -> StoredAction | None:
        """The action of this id."""
        return self._tables.live().actions.get((namespace, action))

    def actions(
        self, namespace: str, *, task: str = "", decision: str = "", limit: int = 50, before: str = ""
    ) -> tuple[StoredAction, ...]:
        """Actions, newest first."""
        found = [one for one in self._tables.live().actions.values() if one.namespace == namespace]
        if before:
            ids = [one.id for one in found]
            found = found[: ids.index(before)] if before in ids else []
        wanted = [
            one
            for one in reversed(found)
            if (not task or one.task == task) and (not decision or one.decision == decision)
        ]
        return tuple(wanted[:limit])

    def act(self, namespace: str, root: str, act_key: str) -> ActHistory:
        """What is known of the act in the tree."""
        return self._tables.live().acts.get((namespace, root, act_key)) or ActHistory()

    def acts(
        self, namespace: str, *, limit: int, after: tuple[str, str] = ("", "")
    ) -> tuple[tuple[str, str], ...]:
        """The keys of all acts that are known, in order."""
        acts = self._tables.live().acts.items()
        known = sorted((root, key) for (space, root, key), _ in acts if space == namespace)
        return tuple(one for one in known if one > after)[:limit]

    def count(self, namespace: str, task: str) -> int:
        """How many actions the task asked for."""
        actions = self._tables.live().actions.values()
        return sum(one.namespace == namespace and one.task == task for one in actions)

    def open_permits(self, namespace: str, *, connection: str = "", task: str = "") -> tuple[OpenPermit, ...]:
        """What was permitted and has no outcome: of a connection, of a task, or all."""
        return tuple(
            _permit(one)
            for one in self._tables.live().actions.values()
            if one.namespace == namespace
            and one.state in _OPEN
            and (not connection or one.connection == connection)
            and (not task or one.task == task)
        )

    def unknowns(self, namespace: str, root: str, act_key: str) -> tuple[str, ...]:
        """Ids of the actions of this act whose outcome is unknown, in order."""
        return tuple(
            one.id
            for one in self._tables.live().actions.values()
            if (one.namespace, one.root, one.act_key) == (namespace, root, act_key)
            and one.state is ActionState.UNKNOWN
        )

    def has_unknown(self, namespace: str) -> bool:
        """Whether any action's outcome is unknown there."""
        return any(
            one.namespace == namespace and one.state is ActionState.UNKNOWN
            for one in self._tables.live().actions.values()
        )

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an action, in order."""
        return tuple(sorted({one.namespace for one in self._tables.live().actions.values()}))

    def lock_priors(self, namespace: str, names: Collection[Presented]) -> Mapping[Presented, PriorAction]:
        """The permitted actions that were presented under these names."""
        found: dict[Presented, PriorAction] = {}
        for name in names:
            action = self._tables.live().priors.get((namespace, name))
            one = None if action is None else self.action(namespace, action)
            if one is not None:
                found[name] = PriorAction(id=one.id, digest=one.digest, state=one.state)
        return found

    def lock_acts(
        self, namespace: str, keys: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], ActHistory]:
        """By (root, act key): what is known of the acts that are known."""
        found = {key: self._tables.live().acts.get((namespace, *key)) for key in keys}
        return {key: one for key, one in found.items() if one is not None}

    def lock_permits(self, namespace: str, actions: Collection[str]) -> Mapping[str, OpenPermit]:
        """By id: those of these actions that exist, whatever their state."""
        found = {action: self.action(namespace, action) for action in actions}
        return {action: _permit(one) for action, one in found.items() if one is not None}

    def insert_actions(self, actions: Sequence[StoredAction]) -> None:
        """Write new actions."""
        for one in actions:
            if self.action(one.namespace, one.id) is not None:
                self._tables.conflict(f"action `{one.id}`")
            self._tables.actions.put((one.namespace, one.id), one)
            if one.decision == "permit":
                for name in _names(one):
                    self._take_name(one, name)

    def put_acts(self, namespace: str, acts: Mapping[tuple[str, str], ActHistory]) -> None:
        """Write what is known of acts, whole."""
        for key, one in acts.items():
            self._tables.live().acts.put((namespace, *key), one)

    def set_outcomes(self, namespace: str, changes: Sequence[OutcomeChange]) -> None:
        """Write outcomes."""
        for change in changes:
            now = self.action(namespace, change.id)
            if now is None or now.state is not change.before:
                self._tables.conflict("the state of an action")
            after = replace(
                now,
                state=change.after,
                finished=change.finished,
                answer=change.answer,
                answer_digest=change.answer_digest,
                released=change.released,
                note=change.note,
            )
            self._tables.actions.put((namespace, change.id), after)

    def lift_actions(self, actions: Sequence[StoredAction]) -> None:
        """Write held actions over as they are permitted now."""
        for one in actions:
            known = self.action(one.namespace, one.id)
            if known is None or known.state is not ActionState.HELD:
                self._tables.conflict("the state of an action")
            self._tables.actions.put((one.namespace, one.id), one)
            self._tables.decided.put((one.namespace, one.id), None)
            for name in _names(one):
                self._take_name(one, name)

    def _take_name(self, action: StoredAction, name: Presented) -> None:
        key = (action.namespace, name)
        if self._tables.priors.get(key) is not None:
            self._tables.conflict("a presentation that was permitted")
        self._tables.priors.put(key, action.id)


def _names(action: StoredAction) -> tuple[Presented, ...]:
    by_request = Presented(connection=action.connection, request=action.request)
    if not action.key:
        return (by_request,)
    return (by_request, Presented(connection=action.task, request="", key=action.key))


def _permit(action: StoredAction) -> OpenPermit:
    return OpenPermit(
        id=action.id,
        task=action.task,
        root=action.root,
        act_key=action.act_key,
        state=action.state,
        connection=action.connection,
        charges=action.charges,
        scope=action.scope,
        until=action.until,
    )
