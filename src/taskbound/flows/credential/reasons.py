"""Why credentials end, as rows and records say it, where no person and no task says it."""

from __future__ import annotations

from typing import Final

NOBODY: Final = "nobody minted it in time"
LOST: Final = "whoever was minting it told nothing more"
FAILED: Final = "it could not be minted: "
"""What was met stands behind it."""
UNACKNOWLEDGED: Final = "nobody said to have its secret"
LEFT: Final = "the connection that it was to end with is lost"
OVER: Final = "its time is over"
NO_MORE: Final = "its task needs it no more"
CANARY: Final = "it was a canary"
AGAIN: Final = "its target shows it again"
WITHOUT_ROW: Final = "it was found in the target without a row"
