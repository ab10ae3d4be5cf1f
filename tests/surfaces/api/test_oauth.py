from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taskbound.core.token.key import list_of
from taskbound.flows.token import Published
from taskbound.ports.token import SignedList
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.authorization import AskToken, GiveBackToken, IntrospectToken, ShowStatusList
from taskbound.wire.authorization import Published as Told
from taskbound.wire.connection import Done
from tests.surfaces.api.test_operations import station
from tests.token_world import ISSUER, TokenWorld, Watched

MANY = 40


@dataclass
class Slow(Watched):
    """A signer that takes its time over a list."""

    asked: int = 0
    first: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def sign_status_list(self, number: int) -> SignedList:
        self.asked += 1
        self.first.set()
        self.goes_on.wait(20)
        return self.signer.sign_status_list(number)


def test_however_many_strangers_ask_for_a_list_one_thread_waits_for_the_signer(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, issuer=ISSUER) as place:
            tokens = TokenWorld(place.world.adapters.store, tmp_path, world=place.world)
            tokens.keys.tend()
            slow = Slow(signer=tokens.signer)
            place.daemon.token.published = Published(place.world.adapters, slow)
            client = await place.client("api")
            number = list_of(place.world.clock.now())
            asks = [
                asyncio.create_task(client.ask(ShowStatusList(number=each), Told))
                for each in (number, number + 1) * MANY
            ]
            try:
                async with asyncio.timeout(10):
                    await asyncio.to_thread(slow.first.wait, 20)
                    assert await place.daemon.read(lambda: 1) == 1  # what others read goes on
                    assert slow.asked == 1
            finally:
                slow.goes_on.set()
            found = {one.text for one in await asyncio.gather(*asks)}
            assert (len(found), slow.asked) == (2, 2)
            tokens.close()

    asyncio.run(story())


@pytest.mark.parametrize("kind", [AskToken, GiveBackToken, IntrospectToken])
def test_a_form_is_asked_over_the_network_and_by_nobody_of_this_machine(
    kind: type[AskToken | GiveBackToken | IntrospectToken], tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            for role in ("cli", "api"):
                client = await place.client(role)
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(kind(form=(("token", "x"),)), Done)
                assert refused.value.fault.code == {"cli": "unproven", "api": "no-proof"}[role]

    asyncio.run(story())


def test_no_repr_has_what_a_form_proves_its_client_with() -> None:
    for kind in (AskToken, GiveBackToken, IntrospectToken):
        assert "secret" not in repr(kind(form=(("client_assertion", "secret"),)))
