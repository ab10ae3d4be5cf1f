"""Why the broker does nothing in a target, and which errors last until somebody changes something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from taskbound.core.errors import DeniedError, UnavailableError, error_classes

__all__ = [
    "CODES",
    "EpochUntoldError",
    "KeptMissingError",
    "NotShowingError",
    "OtherTargetError",
    "StoreRestoredError",
    "UnknownKindError",
]


class StoreRestoredError(UnavailableError):
    """The store knows less than the broker saw, or is another one: it was restored or replaced."""

    code = "store-restored"
    remedy = "wait until every target was looked through, and what was left there is revoked"


class EpochUntoldError(UnavailableError):
    """The store was restored and is believed again, and the daemon has not recorded that yet."""

    code = "epoch-untold"
    remedy = "look whether the daemon runs and takes what the broker tells: it is told every few seconds"


class OtherTargetError(DeniedError):
    """What is to be revoked was minted in another target than the one that has its name now."""

    code = "target-replaced"
    remedy = (
        "declare the target again as it was: what is left there can be ended by its own admin access alone"
    )


class KeptMissingError(DeniedError):
    """What was kept to end a credential is not in its row any more."""

    code = "kept-missing"
    remedy = "look for who writes to the store beside the daemon; it ends by itself when its row says"


class NotShowingError(UnavailableError):
    """A target of this kind can't show what stands in it beside what is minted here."""

    code = "not-showing"
    remedy = "look there by its own means"


class UnknownKindError(UnavailableError):
    """This broker can't mint in targets of such a kind."""

    code = "no-such-kind"
    remedy = "run a broker of the daemon's version"


class _Lasting(Mapping[str, bool]):
    """Of each code that is known now, whether somebody has to change something; from the tree of errors."""

    def __getitem__(self, code: str) -> bool:
        for one in error_classes():
            if one.code == code:
                return not issubclass(one, UnavailableError)
        raise KeyError(code)

    def __iter__(self) -> Iterator[str]:
        return (one.code for one in error_classes())

    def __len__(self) -> int:
        return len(error_classes())


CODES: Final[Mapping[str, bool]] = _Lasting()
"""Every error code of Taskbound, and whether it lasts until somebody changes something."""
