from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from taskbound.surfaces.network.oauth import TokenRecognizer
from taskbound.surfaces.network.problem import Link
from taskbound.wire.authorization import Published
from tests.surfaces.network.test_rate import Hand
from tests.tokens import NOW, Signer, es256

pytestmark = pytest.mark.anyio

ISSUER = "https://as.example"


def shown(signer: Signer, **changes: Any) -> str:
    plain: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "ann",
        "aud": ISSUER,
        "iat": NOW,
        "exp": NOW + 300,
        "client_id": "ann",
        "scope": "operations",
        "namespace": "default",
    }
    return f"DPoP {signer.token('at+jwt', **plain | changes)}"


class Publishing:
    """A daemon's connection that says which keys there are, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[Signer] = []
        self.asked = 0

    async def ask_any(self, ask: Any, **_: Any) -> Published:
        del ask
        self.asked += 1
        return Published(text=json.dumps({"keys": [dict(one.jwk.members) for one in self.keys]}))


async def test_new_key_is_asked_for_once_a_second_at_most() -> None:
    clock, daemon = Hand(), Publishing()

    async def reach(_: Any) -> Any:
        return daemon

    claimed = TokenRecognizer(Link(reach), ISSUER, clock)
    first, second, stranger = es256("k1", seed=7), es256("k2", seed=8), es256("k3", seed=9)
    daemon.keys = [first]
    assert await claimed.can_be_ours(shown(first))
    daemon.keys.append(second)
    for _ in range(3):
        assert not await claimed.can_be_ours(shown(second))
    assert daemon.asked == 1
    clock.now = 1.0
    found = await asyncio.gather(
        *(claimed.can_be_ours(shown(one)) for one in (stranger, second, stranger, first))
    )
    assert found == [False, True, False, True]
    assert daemon.asked == 2
