"""What is in the slots of a server, opened for exactly the pin that it was sealed for.

Nothing here is kept. What credentials fill is not opened here (`minted`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.tool import Binding
from taskbound.core.tool.oauth.client import hidden_in
from taskbound.surfaces.egress.errors import SecretMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.tool import ServerIdentity, Slot
    from taskbound.surfaces.egress.desk import Desk
    from taskbound.wire.egress import SealedServer, StartServer


def opened(desk: Desk, ask: StartServer, told: SealedServer, identity: ServerIdentity) -> dict[Slot, str]:
    """The value of every slot that a sealed one fills.

    Raises:
        SecretMissingError: One is empty.
        BadSecretError: What is in one was sealed for something else.
    """
    sealed = {one.slot: one for one in told.secrets}
    values: dict[Slot, str] = {}
    for slot in identity.slots:
        if slot.source is not None:
            continue
        found = sealed.get(slot.text)
        if found is None:
            raise SecretMissingError(f"the slot `{slot.text}` of server `{ask.server}` is empty")
        binding = Binding(
            namespace=ask.namespace,
            server=ask.server,
            identity=identity.digest,
            slot=slot.text,
            number=found.number,
        )
        values[slot] = desk.key.open(found.sealed, binding)
    return values


def hidden(values: Mapping[Slot, str]) -> frozenset[str]:
    """All that no answer and no line of the log may say."""
    return frozenset(one for slot, value in values.items() for one in hidden_in(slot, value))
