"""Who hears what a server says unasked, and keeps it (`ports.upstream.UpstreamEvents`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.ports.upstream import Question


class Events:
    """Counts what a server says unasked."""

    def __init__(self) -> None:
        self.changes = 0
        self.over: list[str] = []
        self.lists: list[str] = []
        self.uris: list[str] = []
        self.logs: list[dict[str, Any]] = []
        self.questions: list[Question] = []

    def tools_changed(self) -> None:
        self.changes += 1

    def listed(self, kind: str) -> None:
        self.lists.append(kind)

    def updated(self, uri: str) -> None:
        self.uris.append(uri)

    def logged(self, params: Mapping[str, Any]) -> None:
        self.logs.append(dict(params))

    def asked(self, question: Question) -> None:
        self.questions.append(question)

    def withdrawn(self, question: Question) -> None:
        self.questions.remove(question)

    def ended(self, reason: str, detail: str) -> None:
        del detail
        self.over.append(reason)
