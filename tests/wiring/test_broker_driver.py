from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from taskbound.adapters.store.memory import MemoryStore
from taskbound.core.credential import CredentialState
from taskbound.wiring import broker as wiring
from tests.surfaces.broker.brokering import Brokering, declared_at

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_a_target_s_test_fails_with_says_what_is_to_be_installed_where_the_driver_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in [one for one in sys.modules if one.startswith(("psycopg", "taskbound.adapters.targets"))]:
        monkeypatch.delitem(sys.modules, one)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    broker = Brokering(MemoryStore(), plugs={"postgres": wiring._postgres})  # noqa: SLF001 -- as it is plugged
    (canary,) = broker.declare(declared_at(tmp_path))
    broker.settle(2)
    found = broker.world.row()
    assert found.state.value == "refused"
    assert "install `taskbound[server,postgres]` [driver-missing]" in found.trouble
    assert broker.row(canary).state is CredentialState.REVOKED  # nothing was sent of it: over without a look
