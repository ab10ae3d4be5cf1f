"""Findings about settings: environment variables with our prefix that nothing reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.surfaces.cli.finding import Finding
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def look_at_variables(names: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each variable that is no setting."""
    for name in names:
        yield Finding(
            about="daemon",
            level="warn",
            name="variable",
            text=f"`{shown(name)}` is set, and is no setting: nothing reads it",
            advice="see docs/reference/settings.md",
        )
