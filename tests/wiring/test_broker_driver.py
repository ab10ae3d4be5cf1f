from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.core.credential import CredentialState
from taskbound.core.target import OpensshAccess
from taskbound.surfaces.cli.extras import how_to_install
from taskbound.wiring import broker as wiring
from tests.peers.sshd import private_text, public_line
from tests.sqlite import sqlite_store
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
    broker = Brokering(sqlite_store(), plugs={"postgres": wiring._postgres})  # noqa: SLF001 -- as it is plugged
    (canary,) = broker.declare(declared_at(tmp_path))
    broker.settle(2)
    found = broker.world.row()
    assert found.state.value == "refused"
    assert f"`{how_to_install('postgres')}` [driver-missing]" in found.trouble
    assert "psycopg[binary]" in how_to_install("postgres")
    assert broker.row(canary).state is CredentialState.REVOKED  # nothing was sent of it: over without a look


def test_a_host_s_test_fails_with_what_is_to_be_installed_where_there_is_no_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ca, key, host = (Ed25519PrivateKey.generate() for _ in range(3))
    file = {
        "target": "build-host",
        "kind": "openssh",
        "where": {"host": "build.example", "host_keys": [public_line(host)]},
        "owner": "bob",
        "approvers": ["carol"],
        "credentials": {"deploy": {"for": "Puts a release there.", "account": "deploy", "seconds": 600}},
    }
    broker = Brokering(sqlite_store(), plugs={"openssh": wiring._openssh})  # noqa: SLF001 -- as it is plugged
    (canary,) = broker.declare(file, OpensshAccess(ca=private_text(ca), key=private_text(key)))
    broker.settle(2)
    assert broker.world.row("build-host").trouble.endswith("[driver-missing]")
    assert "the broker has no `ssh`" in broker.world.row("build-host").trouble
    assert broker.row(canary).state is CredentialState.REVOKED  # nothing was sent of it
