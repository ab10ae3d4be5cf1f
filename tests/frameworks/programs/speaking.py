"""What every such program does: it reads a line, does what that says, and says what came of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.link import Place
from taskbound.sdk.guard.proof import ProofKey
from taskbound.sdk.guard.speaker import ClientSettings
from tests.sdk.noted import note, ran


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """Where the daemon is, and whoever started this program."""

    socket: Path
    text: str = ""
    """A program of the guide's."""
    asks: Callable[[Any], Any]
    """Says this to whoever started the program, and waits for an answer."""

    def place(self, told: ClientSettings) -> Place:
        return Place(
            socket=self.socket, namespace="default", agent=told.agent or "coder", task=told.task, template=""
        )

    def task(self) -> str:
        return ""

    def key(self, file: Path | None) -> ProofKey:
        raise NotImplementedError(file)

    def now(self) -> float:
        return 0.0

    def client(self, *, wait: float = 0.0) -> Client:
        return Client(ClientSettings(wait=wait), self)

    def async_client(self, *, wait: float = 0.0) -> AsyncClient:
        return AsyncClient(ClientSettings(wait=wait), self)

    def follows(self, **names: Any) -> Any:
        """What the guide's program comes to with these names: its `answer`."""
        known = {**names, "client": self.client(), "note": note, "wait_for_people": lambda: self.asks("")}
        exec(compile(self.text, "guide", "exec"), known)  # noqa: S102 - our own page
        return {"answer": known["answer"], "ran": ran}


def serve(scenarios: Mapping[str, Callable[[There], Any]]) -> None:
    """Do what is asked, line by line, until nothing more is; what frameworks print is no answer."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def says(what: Any) -> None:
        out.write(f"{json.dumps(what)}\n")
        out.flush()

    def asks(what: Any) -> Any:
        says({"asks": what})
        return json.loads(sys.stdin.readline())["answer"]

    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        ran.clear()
        try:
            found = scenarios[order["does"]](
                There(socket=Path(order["socket"]), text=order["text"], asks=asks)
            )
            says({"done": asyncio.run(found) if inspect.iscoroutine(found) else found})
        except BaseException:  # noqa: BLE001 - whatever it is, the test says it
            says({"failed": traceback.format_exc()})
