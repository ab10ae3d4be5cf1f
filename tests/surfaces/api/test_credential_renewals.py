from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import CredentialState, Renewal
from taskbound.wire import action
from taskbound.wire import target as broker
from taskbound.wire.connection import Done
from tests.stories.brokering import TARGET, put, row_of
from tests.surfaces.api.test_credential import Scene, code, scene
from tests.surfaces.api.test_operations import decide

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.credential import Credential


async def renewing(at: Scene, letter: str = "a", who: str = "a") -> Credential:
    """A credential whose renewal was permitted to this gateway."""
    found = await at.askers.ask(who, decide(letter, amount=len(letter)))
    assert isinstance(found, action.Permitted)
    now = at.world.clock.now()
    renewal = Renewal(action=found.action, ends=Instant(now + seconds(500)), record=1)
    more = {"state": CredentialState.ACTIVE, "acknowledged": True, "shown": now, "renewal": renewal}
    return put(at.world, letter, task=found.task, agent="coder", action="act_before", **more)


async def waiting(at: Scene, row: Credential, who: str = "a") -> asyncio.Future[object]:
    """A question for what comes of it, once the daemon has it."""
    asked = at.askers.ask(who, broker.AwaitRenewal(credential=row.id))
    async with asyncio.timeout(30):
        while (row.namespace, row.id) not in {*at.daemon.credentials.renewals.keys()}:
            await at.round_trip()
    return asked


async def outcome(at: Scene, row: Credential) -> str:
    """What is recorded of the renewal's action, once something is."""
    assert row.renewal is not None
    async with asyncio.timeout(30):
        while True:
            with at.world.store.read() as seen:
                kept = seen.actions.action("default", row.renewal.action)
            assert kept is not None
            if kept.finished is not None:
                return kept.state.value
            await at.round_trip()


def test_i09_whoever_asked_hears_that_it_lives_longer_once_the_target_was_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row = await renewing(at)
            asked = await waiting(at, row)
            assert code(await at.askers.ask("b", broker.AwaitRenewal(credential=row.id))) == "not-asker"
            assert code(await at.askers.ask("b", broker.AwaitRenewal(credential="crd_x"))) == "not-asker"
            person = await at.place.client()
            show = broker.ShowCredential(credential=row.id)
            before = await person.ask(show, broker.CredentialRow)
            assert row.renewal is not None
            assert (before.ends, before.renewal_ends) == (row.ends, row.renewal.ends)
            assert (before.renewal_state, before.renewal) == ("wanted", row.renewal.action)
            order = await at.lease(row)
            assert (order.step, order.fence) == ("renew", 1)
            await at.broker.ask(broker.TellRenewed(credential=row.id, fence=order.fence), Done)
            assert await asked == broker.Renewed(credential=row.id, ends=row.renewal.ends)
            after = await person.ask(show, broker.CredentialRow)
            assert (after.ends, after.renewal_state) == (row.renewal.ends, "done")
            assert await outcome(at, row) == "succeeded"
            again = await at.askers.ask("a", broker.AwaitRenewal(credential=row.id))
            assert again == broker.Renewed(credential=row.id, ends=row.renewal.ends)

    asyncio.run(story())


def test_law_7_whoever_asked_hears_that_it_ends_when_it_did(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row = await renewing(at)
            asked = await waiting(at, row)
            order = await at.lease(row)
            tell = broker.TellFailed(
                credential=row.id, fence=order.fence, code="renewal-unsupported", trouble="no", lasting=True
            )
            await at.broker.ask(tell, Done)
            assert code(await asked) == "renewal-failed"  # type: ignore[arg-type]  # an answer
            assert await outcome(at, row) == "failed"
            assert row_of(at.world, row).ends == row.ends

    asyncio.run(story())


def test_i12_whoever_waits_for_a_renewal_hears_that_it_is_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            row = await renewing(at)
            asked = await waiting(at, row)
            order = await at.lease(row)
            await at.askers.ask("a", broker.EndCredential(credential=row.id))
            assert code(await asked) == "credential-ended"  # type: ignore[arg-type]  # an answer
            assert await outcome(at, row) == "failed"
            late = await at.broker.ask_any(broker.TellRenewed(credential=row.id, fence=order.fence))
            assert code(late) == "lease-lost"
            assert row_of(at.world, row).state is CredentialState.REVOKING

    asyncio.run(story())


def test_a_renewal_that_nobody_tells_of_is_asked_for_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with scene(tmp_path) as at:
            at.daemon.credentials.wait = 0.05
            row = await renewing(at)
            asked = broker.AwaitRenewal(credential=row.id)
            assert code(await at.askers.ask("a", asked)) == "still-renewing"
            assert (await at.lease(row)).step == "renew"
            assert row.target == TARGET

    asyncio.run(story())
