"""Recording what was shown over the network and is worth nothing: a token of ours, or the proof of a key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.errors import DeniedError, MalformedError

if TYPE_CHECKING:
    from taskbound.core.errors import TaskboundError
    from taskbound.surfaces.api.daemon import Daemon


async def note_unbelieved(
    daemon: Daemon, namespace: str, form: str, shown: str, error: TaskboundError
) -> None:
    """Record it (`flows.identity.Proofs.refuse`); that nobody could say what it is worth is no news of it.

    Args:
        daemon: The daemon.
        namespace: Whose log has it.
        form: `token`, or `dpop` where it was a proof alone.
        shown: What was shown; nothing is recorded of nothing.
        error: Why it was refused.
    """
    if shown and isinstance(error, DeniedError | MalformedError):
        await daemon.read(partial(daemon.proofs.refuse, namespace, form, shown, error))
