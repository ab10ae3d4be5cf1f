"""What is asked of a login's end in every test of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from taskbound.core.clock import Instant
from taskbound.ports.target import Gone, Minted, Shown
from tests.peers.minter import PATIENCE

if TYPE_CHECKING:
    from tests.peers.minter import Orders


ENDS = Instant(4_102_444_800_000_000)
"""What a database does not ask: the year 2100."""
NOTHING = Shown(exists=False, open=0)


def user_of(minted: Minted) -> str:
    return minted.open["PGUSER"]


def revoked(orders: Orders, minted: Minted) -> Gone:
    """What its end says, once nothing of it is there."""
    name = user_of(minted)
    found = orders.target().revoke(name, ends=ENDS, patience=PATIENCE)
    assert isinstance(found, Gone)
    assert orders.target().look(name, patience=PATIENCE) == NOTHING
    assert orders.sessions(name) == 0
    assert name not in orders.roles()
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed|does not exist"):
        orders.login(minted)
    return found
