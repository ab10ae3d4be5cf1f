"""Comparing templates with the log: the scope and the lifetime of the tasks that are made of each.

Not compared: a template's purpose, which no record holds.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.audit import TemplateRemoved, TemplateSaved
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.task import Template
    from taskbound.ports.store import Snapshot


@dataclass(slots=True)
class TemplateLedger:
    """What the log says of templates."""

    snapshot: Snapshot
    told: dict[tuple[str, str], TemplateSaved] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        match record.event:
            case TemplateSaved() as event:
                self.told[record.namespace, event.template] = event
            case TemplateRemoved() as event:
                self.told.pop((record.namespace, event.template), None)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.tasks.templates(space)}
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"template {name} was saved, and is not there"
                elif name not in told:
                    yield f"template {name} is there, and no record saved it"
                elif _now(rows[name]) != _then(told[name]):
                    yield f"template {name} is not as its last record leaves it"


def _now(row: Template) -> tuple[object, ...]:
    return (row.scope.digest, row.seconds, row.heartbeat, row.grace, row.holds.value)


def _then(told: TemplateSaved) -> tuple[object, ...]:
    return (told.scope, told.seconds, told.heartbeat, told.grace, told.holds)
