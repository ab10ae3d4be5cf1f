"""What an egress had that is gone together with its daemon: ended by the next daemon, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from taskbound.core.credential import CredentialState
from taskbound.flows.credential.revoking import SEAT
from taskbound.surfaces.api.background.credential_rounds import CredentialRounds
from taskbound.surfaces.api.operations.egress import require_egress
from tests.peers.targeting import Targets
from tests.stories.brokering import put, put_target
from tests.surfaces.api.test_operations import station

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.credential import Credential
    from tests.world import World

DAEMON = "z" * 32


def had(world: World, targets: Targets, letter: str, holder: str, **changes: object) -> Credential:
    """An active credential whose action this connection was permitted."""
    answer = world.ask(targets.task, "bank__look", {"id": letter}, agent="minter", connection=holder)
    state = {"state": CredentialState.ACTIVE, "acknowledged": True, "agent": "minter", "kind": "reader"}
    with world.store.read() as snapshot:
        (action,) = (one for one in snapshot.actions.actions("default", limit=50) if one.connection == holder)
    assert answer is not None
    return put(world, letter, task=targets.task.id, action=action.id, **(state | changes))


def test_k12_what_an_egress_had_at_a_daemon_that_is_gone_ends_when_it_was_seen_twice_and_no_other_does(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            world = place.world
            put_target(world)
            targets = Targets(world)
            lost = had(world, targets, "a", f"{SEAT}{'a' * 26}{DAEMON}")
            others = [
                had(world, targets, "b", f"con_{'b' * 26}{DAEMON}"),
                had(world, targets, "c", f"{SEAT}{'c' * 26}{DAEMON}", acknowledged=False),
            ]
            await place.client("egress")
            (here,) = place.daemon.connections.egresses()
            require_egress(place.daemon, here)
            assert here.name.startswith(SEAT)
            others.append(had(world, targets, "d", here.name))
            rounds = CredentialRounds(place.daemon)

            def states() -> list[CredentialState]:
                with world.store.read() as snapshot:
                    found = [snapshot.credentials.credential("default", one.id) for one in (lost, *others)]
                return [one.state for one in found if one is not None]

            await rounds.see_to_seats("default")
            assert states() == [CredentialState.ACTIVE] * 4
            await rounds.see_to_seats("default")
            assert states() == [CredentialState.REVOKING, *[CredentialState.ACTIVE] * 3]

    asyncio.run(story())
