from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from taskbound.adapters.targets.postgres import PostgresTarget
from taskbound.core.target import PostgresPlace
from taskbound.ports.target import MintOrder, TargetUnavailableError
from tests.adapters.targets.ending import ENDS
from tests.peers.certificates import certificate
from tests.peers.minter import ADMIN, PATIENCE, READERS, Orders, fresh_name, minting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
HOST = f"127.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}.7"
"""An address of this machine that is this process' own, as the server's port is the usual one."""
_HBA = "local all owner trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), address=HOST)[0]


@pytest.fixture(scope="module")
def orders(roots: Path) -> Iterator[Orders]:
    """The database, reached by TLS alone."""
    with minting(f"listen_addresses={HOST}") as found:
        data = found.server.folder / "data"
        for name, file in (("server.crt", roots), ("server.key", roots.with_name("certificate-key.pem"))):
            shutil.copyfile(file, data / name)
            (data / name).chmod(0o600)
            shutil.chown(data / name, data.stat().st_uid, data.stat().st_gid)
        (data / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        with found.owner() as owner:
            owner.execute("ALTER SYSTEM SET ssl = on")
            owner.execute("SELECT pg_reload_conf()")
        yield found


def test_whoever_is_handed_a_login_is_told_by_whom_the_server_is_certified(
    orders: Orders, roots: Path
) -> None:
    target = PostgresTarget(PostgresPlace(host=HOST, database="orders", roots=str(roots)), ADMIN)
    order = MintOrder(name=fresh_name(), ends=orders.ends)
    minted = target.mint(order, READERS, patience=PATIENCE)
    target.use(minted, patience=PATIENCE)
    assert (minted.open["PGSSLMODE"], minted.open["PGSSLROOTCERT"]) == ("verify-full", str(roots))
    with psycopg.connect(
        host=minted.open["PGHOST"],
        dbname=minted.open["PGDATABASE"],
        user=minted.open["PGUSER"],
        password=minted.secret["PGPASSWORD"],
        sslmode=minted.open["PGSSLMODE"],
        sslrootcert=minted.open["PGSSLROOTCERT"],
    ) as one:
        assert one.pgconn.ssl_in_use
    target.revoke(order.name, ends=ENDS, patience=PATIENCE)


def test_f36_a_server_that_others_certify_is_told_nothing(orders: Orders, tmp_path: Path) -> None:
    other = certificate(tmp_path, address=HOST)[0]
    target = PostgresTarget(PostgresPlace(host=HOST, database="orders", roots=str(other)), ADMIN)
    with pytest.raises(TargetUnavailableError):
        target.look(fresh_name(), patience=PATIENCE)
    with orders.owner() as owner:
        found = owner.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'minter'").fetchone()
    assert found == (0,)
