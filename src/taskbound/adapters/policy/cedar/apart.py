"""Validates policies in a separate process, because a proposed bundle may take long or crash the validator.

1. Cedar holds the interpreter while it validates, which would block decisions for seconds.
2. More than a minute, a gigabyte of memory or a crash gives a problem of its own. The process sets its limits
   before it reads anything.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.adapters.policy.cedar.language import CedarLanguage
from taskbound.adapters.policy.cedar.problems import problems_of
from taskbound.core.policy import PolicyProblem, PolicyTool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_PATIENCE: Final = 60.0
_MEMORY: Final = 1 << 30
"""Bytes of address space; 2,000 policies for 100 tools take a ninth of it."""
_COMMAND: Final = (sys.executable, "-P", "-E", "-m", __name__)
"""Nothing comes from the working directory or PYTHONPATH."""


class _Tool(msgspec.Struct, frozen=True, kw_only=True):
    namespace: str
    name: str
    server: str
    schema: dict[str, Any]
    definition: str
    effect: str
    open_world: bool


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    files: dict[str, str]
    tools: tuple[_Tool, ...]
    groups: tuple[str, ...] | None


class ApartLanguage(CedarLanguage):
    """A `CedarLanguage` that validates in a separate process."""

    def __init__(self, *, patience: float = _PATIENCE, command: Sequence[str] = _COMMAND) -> None:
        self._patience = patience
        self._command = tuple(command)

    def problems(
        self,
        files: Mapping[str, str],
        tools: Sequence[PolicyTool],
        groups: Collection[str] | None = None,
    ) -> tuple[PolicyProblem, ...]:
        asked = msgspec.json.encode(
            _Asked(
                files=dict(files),
                tools=tuple(map(_told, tools)),
                groups=None if groups is None else tuple(groups),
            )
        )
        try:
            done = subprocess.run(  # noqa: S603 - our own module, by the interpreter that runs this
                self._command, input=asked, capture_output=True, timeout=self._patience, check=True
            )
            return msgspec.json.decode(done.stdout, type=tuple[PolicyProblem, ...])
        except subprocess.TimeoutExpired:
            words = f"these policies could not be examined in {self._patience:.0f} seconds"
        except (subprocess.CalledProcessError, msgspec.DecodeError):
            words = "these policies could not be examined: the process that reads them ended"
        except OSError as error:
            words = f"these policies could not be examined: {error.strerror or error}"
        first = next(iter(files), "")
        hint = "make them fewer or simpler"
        return (PolicyProblem(file=first, line=1, column=1, policy="", words=words, hint=hint),)


def _told(tool: PolicyTool) -> _Tool:
    return _Tool(
        namespace=tool.namespace,
        name=tool.name,
        server=tool.server,
        schema=dict(tool.schema),
        definition=tool.definition,
        effect=tool.effect,
        open_world=tool.open_world,
    )


def _main() -> None:
    for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0)):  # 2
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # where the system knows no such limit
            resource.setrlimit(limit, (least, least))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    tools = [
        PolicyTool(
            namespace=one.namespace,
            name=one.name,
            server=one.server,
            schema=one.schema,
            definition=one.definition,
            effect=one.effect,
            open_world=one.open_world,
        )
        for one in asked.tools
    ]
    sys.stdout.buffer.write(msgspec.json.encode(problems_of(asked.files, tools, asked.groups)))


if __name__ == "__main__":
    _main()
