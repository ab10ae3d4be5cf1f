"""Running commands as a person would: processes of their own that know nothing but their arguments."""

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
class Said:
    """How a command ended."""

    status: int
    document: dict[str, object]
    """What it printed: its answer, or what went wrong."""

    @property
    def code(self) -> str:
        """The code of what went wrong, or nothing."""
        return str(self.document.get("code", ""))

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return str(self.document.get("message", ""))

    def number(self, name: str) -> int:
        """A number of the answer; -1 when there is none of this name."""
        found = self.document.get(name)
        return found if isinstance(found, int) else -1


class Program:
    """The program `taskbound`."""

    def __init__(self, command: Sequence[str]) -> None:
        """Run this command, with words behind it."""
        self._command = tuple(command)

    def run(self, *words: str) -> Said:
        """How `taskbound WORDS --json` ended, without any setting of this process's environment."""
        environ = {name: text for name, text in os.environ.items() if not name.startswith("TASKBOUND_")}
        done = subprocess.run(  # noqa: S603 -- our own program, with words of ours
            [*self._command, *words, "--json"], env=environ, capture_output=True, check=False
        )
        raw = done.stderr if done.returncode else done.stdout
        try:
            document = _decoder.decode(raw.strip().rpartition(b"\n")[2])
        except msgspec.DecodeError:
            document = {"message": raw.decode("utf-8", "replace")[-500:]}
        return Said(status=done.returncode, document=document)
