"""Agents that are afar: with a token of their task, before a real API and a daemon within the test."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.surfaces.network.holding import Holding, binding, held
from tests.surfaces.network.test_tokens import the_task
from tests.token_world import ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.task import Task
    from taskbound.ports.action import StoredAction
    from tests.surfaces.network.serving import Answer

PAY = {"tool": "bank__pay", "arguments": {"to": "bob", "amount": 10}}


class Acting:
    """An agent that is afar, with a token of its task."""

    def __init__(self, one: Holding, task: Task | None = None) -> None:
        self.one = one
        self.task = task or the_task(one)
        self.token = self.fresh()

    def fresh(self) -> str:
        return self.one.tokens.issue(self.task, audience=ISSUER, binding=binding()).text

    def ask(self, said: dict[str, Any] | bytes = PAY, **headers: str) -> Answer:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return self.one.ask("POST", "/v1/actions", self.token, body, **headers)

    def tell(self, action: str, outcome: str = "succeeded", **more: Any) -> Answer:
        body = json.dumps({"outcome": outcome, **more}).encode()
        return self.one.ask("POST", f"/v1/actions/{action}/outcome", self.token, body)

    def follow(self, action: str) -> Answer:
        return self.one.ask("GET", f"/v1/actions/{action}/state", self.token)

    def kept(self, action: str) -> StoredAction:
        with self.one.world.store.read() as snapshot:
            found = snapshot.actions.action("default", action)
        assert found is not None
        return found

    def look(self) -> None:
        """Have the daemon look after whoever is afar, as it does every few seconds."""
        daemon = self.one.place.daemon
        asyncio.run_coroutine_threadsafe(daemon.see_strangers(), daemon.loop).result(10)
        asyncio.run_coroutine_threadsafe(daemon.first(lambda: None), daemon.loop).result(10)

    def records(self, kind: str) -> list[dict[str, Any]]:
        return self.one.world.events(kind)


@contextmanager
def acted(folder: Path, *, policy: str = "") -> Iterator[Acting]:
    with held(folder, policy=policy) as one:
        yield Acting(one)


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    assert (answer.status, answer.code) == (status, code), answer.body
    told: dict[str, Any] = answer.json
    assert told["type"] == f"urn:taskbound:problem:{code}"
    return told
