"""People of a world with devices that sign for them, enrolled as anybody would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.person_key import PersonKeyKind
from taskbound.flows.identity.enrollment import Enrollments, Offer
from taskbound.flows.means import Actor
from tests.peers.openssh import Device

if TYPE_CHECKING:
    from taskbound.core.identity.person_key import KeyFile, PersonKey
    from taskbound.flows.identity.enrollment import Progress
    from tests.world import World


OWNER = Actor(name="uid:0", proof="peer-uid:0 (unproven)")


def actor_of(name: str) -> Actor:
    return Actor(name=name, proof="peer-uid (unproven)")


def propose(  # noqa: PLR0913 - what a proposal may differ in, each by its name
    world: World,
    person: str,
    device: Device,
    *,
    by: str = "",
    owns: bool = False,
    file: KeyFile | None = None,
    agents: tuple[int, ...] = (),
    line: str = "",
) -> Progress:
    offer = Offer(person=person, kind=PersonKeyKind.OPENSSH, public=(line or device.line).encode(), file=file)
    return Enrollments(world.adapters).propose(
        "default", offer, actor_of(by or person), owns=owns, agent_accounts=agents
    )


def proven(world: World, person: str, device: Device) -> Progress:
    """A key that has signed; enrolled when nobody has to vouch."""
    progress = propose(world, person, device)
    return Enrollments(world.adapters).prove(
        "default", progress.key.id, device.sign(progress.statement), actor_of(person), owns=False
    )


def enrolled(
    world: World, person: str, device: Device, *, voucher: tuple[PersonKey, Device] | None = None
) -> PersonKey:
    """A key that is enrolled; by the word of another where that is needed."""
    progress = proven(world, person, device)
    if voucher is None:
        return progress.key
    key, other = voucher
    done = Enrollments(world.adapters).vouch(
        "default",
        progress.key.id,
        voucher=key.id,
        signature=other.sign(progress.statement),
        actor=actor_of(key.person),
        owns=False,
    )
    return done.key
