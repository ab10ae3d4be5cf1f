"""Runs commands as a person would, in processes that know only their arguments."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import msgspec

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


_decoder = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command."""

    status: int
    document: dict[str, object]
    """What it printed: its answer, or what went wrong."""

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))

    @property
    def message(self) -> str:
        return str(self.document.get("message", ""))

    def number(self, name: str) -> int:
        found = self.document.get(name)
        return found if isinstance(found, int) else -1


class Program:
    """The program `taskbound`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    def run(self, *words: str) -> CommandResult:
        environ = {name: text for name, text in os.environ.items() if not name.startswith("TASKBOUND_")}
        done = subprocess.run(  # noqa: S603 -- our own program, with words of ours
            [*self._command, *words, "--json"], env=environ, capture_output=True, check=False
        )
        raw = done.stderr if done.returncode else done.stdout
        try:
            document = _decoder.decode(raw.strip().rpartition(b"\n")[2])
        except msgspec.DecodeError:
            document = {"message": raw.decode("utf-8", "replace")[-500:]}
        return CommandResult(status=done.returncode, document=document)
