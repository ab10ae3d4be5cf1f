"""The command lines of the peers, to start directly or to give to a gateway as an upstream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Served = Literal["legacy", "modern", "both"]
HERE = Path(__file__).parent
PAYMENTS = HERE.parents[1] / "docs" / "examples" / "payments"


def _command(script: Path, *options: tuple[str, object]) -> list[str]:
    given = [(name, value) for name, value in options if value not in (None, False)]
    return [sys.executable, str(script), *(part for pair in given for part in _option(*pair))]


def _option(name: str, value: object) -> list[str]:
    return [f"--{name}"] if value is True else [f"--{name}", str(value)]


def echo(
    *,
    era: Served = "both",
    log: Path | None = None,
    lax: bool = False,
    tools: Path | None = None,
) -> list[str]:
    """A correct server that logs what it gets; see `echo.py`."""
    return _command(HERE / "echo.py", ("era", era), ("log", log), ("lax", lax), ("tools", tools))


def faulty(
    fault: str,
    *,
    at: str | None = None,
    after: int | None = None,
    n: int | None = None,
    gate: Path | None = None,
    log: Path | None = None,
) -> list[str]:
    """A server that does one thing wrong; `faulty.py --list` says what."""
    options = (("fault", fault), ("at", at), ("after", after), ("n", n), ("gate", gate), ("log", log))
    return _command(HERE / "faulty.py", *options)


def speaking(*, era: Served = "legacy", log: Path | None = None) -> list[str]:
    """A server that says unasked what its calls tell it to; see `speaking.py`."""
    return _command(HERE / "speaking.py", ("era", era), ("log", log))


def telling(*, log: Path | None = None) -> list[str]:
    """A server that tells of its progress; see `telling.py`."""
    return _command(HERE / "telling.py", ("log", log))


def deputy(*, home: Path, agent: str, tool: str) -> list[str]:
    """A server that calls a tool through a gateway of its own; see `deputy.py`."""
    return _command(HERE / "deputy.py", ("home", home), ("agent", agent), ("tool", tool))


def slow(
    *, seed: int = 1, longest: float = 10.0, log: Path | None = None, lingers: bool = False
) -> list[str]:
    """A server that takes its time, and answers in an order of its own; see `slow.py`."""
    options = (("seed", seed), ("longest", longest), ("log", log), ("lingers", lingers))
    return _command(HERE / "slow.py", *options)


def asking(*, log: Path | None = None) -> list[str]:
    """A server that asks as its tool's arguments say; see `asking.py`."""
    return _command(HERE / "asking.py", ("log", log))


def tasking(*, log: Path | None = None, silent: bool = False) -> list[str]:
    """A server that makes tasks of calls as their arguments say; see `tasking.py`."""
    return _command(HERE / "tasking.py", ("log", log), ("silent", silent))


def shelf(script: Path, *, log: Path | None = None, era: str | None = None) -> list[str]:
    """A server that has what its script says beside its tools; see `shelf.py`."""
    return _command(HERE / "shelf.py", ("script", script), ("log", log), ("era", era))


def everything() -> list[str]:
    """The server of the conformance tests, over stdio."""
    return _command(HERE / "everything.py", ("stdio", True))


def payments(ledger: Path, *, variant: str | None = None, confirm_after: str | None = None) -> list[str]:
    """The payments example on this ledger; `variant` and `confirm_after` may be `@FILE`."""
    options = (("ledger", ledger), ("variant", variant), ("confirm-after", confirm_after))
    return _command(PAYMENTS / "server.py", *options)


def proxied(command: Sequence[str]) -> list[str]:
    """The command behind the bare proxy."""
    return [sys.executable, str(HERE / "rawproxy.py"), *command]
