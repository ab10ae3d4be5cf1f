"""A program that stands on a framework of agents, in an environment of its own, told what to do line by line.

That is installed by `dev/env` as locked in `requirements/frameworks.txt`, into the environment's folder
`frameworks`. Where it is missing the tests fail, and name `dev/test`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.house.tree import ROOT

PYTHON: Final = Path(sys.prefix) / "frameworks" / "bin" / "python"


def environ() -> dict[str, str]:
    """What such a program is started with: nothing of ours is installed there."""
    kept = {name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "PATH"}}
    return kept | {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }


_PATIENCE: Final = 150.0
"""Seconds after which a program that says nothing is ended, so that its test fails and does not hang."""


class Program:
    """One such program, which does one thing at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def does(
        self,
        what: str,
        socket: Path,
        *,
        says: Callable[[Any], object] = lambda said: said,
        text: str = "",
    ) -> Any:
        """What came of it.

        Args:
            what: The scenario.
            socket: The daemon's.
            text: A program of the guide's.
            says: What is done, and answered, when the program waits for somebody; in the test's own loop.
        """
        said = await asyncio.to_thread(self._exchange, {"does": what, "socket": str(socket), "text": text})
        while "asks" in said:
            answer = says(said["asks"])
            if inspect.isawaitable(answer):
                answer = await answer
            said = await asyncio.to_thread(self._exchange, {"answer": answer})
        assert "done" in said, said.get("failed")
        return said["done"]

    def _exchange(self, what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        over = threading.Timer(_PATIENCE, self._process.kill)
        over.start()
        try:
            self._process.stdin.write(f"{json.dumps(what)}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            over.cancel()
        assert line, (
            f"the program is gone; is its environment there? `dev/test` installs it in {PYTHON.parent}"
        )
        said: dict[str, Any] = json.loads(line)
        return said


@contextmanager
def running(module: str) -> Iterator[Program]:
    """The program of this module, until the block is left."""
    assert PYTHON.exists(), f"{PYTHON} is missing: `dev/test` installs it"
    with subprocess.Popen(
        [str(PYTHON), "-m", f"tests.frameworks.programs.{module}"],
        cwd=ROOT,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(10)
            finally:
                process.kill()
