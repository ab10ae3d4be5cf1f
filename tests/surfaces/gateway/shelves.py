"""A gateway before servers that have resources and prompts by script, and a daemon that a test scripts.

async with shelves.serve("one", "two") as b:
    await b.request("resources/read", {"uri": URI})
    shelves.sent("one", "resources/read")
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from taskbound.wire.action import Decide, Reason, Refused
from taskbound.wire.tool import CoverCalls, Coverings
from tests.peers.commands import shelf
from tests.peers.daemon import ScriptedDaemon, rows_of
from tests.surfaces.gateway.bench import Bench, probed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


ALL: dict[str, Any] = {"resources": {}, "prompts": {}, "completions": {}, "tools": {}}
URI = "file:///a"


class Shelves:
    """A bench before servers whose scripts a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def script(self, name: str, **said: Any) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"capabilities": ALL, "name": name, **said}), encoding="utf-8")
        return path

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def sent(self, name: str, method: str) -> list[dict[str, Any]]:
        lines = self.log(name).read_bytes().splitlines() if self.log(name).exists() else []
        return [one["params"] for one in map(json.loads, lines) if one.get("method") == method]

    @contextlib.asynccontextmanager
    async def serve(self, *names: str, era: str = "legacy", handshake: bool = True) -> AsyncIterator[Bench]:
        specs, rows = [], []
        for name in names:
            path = self.folder / f"{name}.json"
            if not path.exists():
                self.script(name)
            spec, found = await probed(name, shelf(path, log=self.log(name), era=era), self.folder)
            specs.append(spec)
            rows += rows_of(spec, found.definitions, found.methods)
            self.log(name).unlink(missing_ok=True)
        async with (
            ScriptedDaemon(self.folder / "d.sock", servers=specs, tools=rows) as daemon,
            Bench(daemon) as b,
        ):
            if handshake:
                await b.handshake()
            yield b


def covering(daemon: ScriptedDaemon, *servers: str) -> None:
    """From now on the scope covers what is asked of these servers, and nothing else."""

    def answer(ask: CoverCalls) -> Coverings:
        whole = ask.tool.partition("__")[0] in servers
        return Coverings(covered=tuple(range(len(ask.calls))) if whole else ())

    daemon.on[CoverCalls] = answer


def refusing(daemon: ScriptedDaemon, code: str) -> None:
    def answer(_ask: Decide) -> Refused:
        why = Reason(code=code, text=f"because of {code}")
        return Refused(code=code, action="act_1", task="tsk_1", reasons=(why,), instead="do something else")

    daemon.on[Decide] = answer


def listing(*uris: str, templates: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "resources/list": [[{"uri": uri, "name": "n"} for uri in uris]],
        "resources/templates/list": [[{"uriTemplate": one, "name": "t"} for one in templates]],
    }
