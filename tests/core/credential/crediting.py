from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import Credential, CredentialState, due_of

BEGAN = Instant(1_800_000_000_000_000)


def later(much: float) -> Instant:
    """So many seconds after the row was made."""
    return Instant(BEGAN + round(much * seconds(1)))


def made(**changes: Any) -> Credential:
    """A row as the permit writes it, or as it has become."""
    row = Credential(
        namespace="default",
        id="crd_" + "a" * 35,
        target="orders-db",
        kind="reader",
        identity="1" * 64,
        task="tsk_1",
        agent="coder",
        action="act_1",
        arguments=b"{}",
        recipient="A" * 43,
        state=CredentialState.JOURNALED,
        made=BEGAN,
        ends=later(300),
        due=BEGAN,
    )
    row = replace(row, **changes)
    return row if "due" in changes else replace(row, due=due_of(row, BEGAN))
