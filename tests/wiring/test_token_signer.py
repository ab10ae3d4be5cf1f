from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.keys.socket import SocketTokenSigner
from taskbound.adapters.store.postgres import PostgresStore
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.task import TaskEndedError, TaskEvent
from taskbound.core.token import claims_digest, claims_of
from taskbound.flows.token import TransactionTokenOrder
from taskbound.flows.token.standing import ground_of
from taskbound.ports.signer import SignerUnavailableError
from tests.token_world import ISSUER, TokenWorld, claims_in
from tests.wiring.running import signer
from tests.world import ANN, id_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server
    from tests.wiring.running import Running


def start(folder: Path, *words: str) -> Running:
    return signer(folder / "keys", folder / "s.sock", "--create", "--issuer", ISSUER, *words)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[TokenWorld]:
    """A daemon's flows, whose signer is a process of its own that reads the database beside it."""
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = TokenWorld(store, tmp_path)
    world.folder.close()
    remote = SocketTokenSigner(tmp_path / "s.sock")
    world.signer.signer = remote
    yield world
    remote.close()
    store.close()


def test_a_signer_process_signs_what_it_reads_itself_and_keeps_the_keys(
    there: TokenWorld, tmp_path: Path
) -> None:
    with start(tmp_path, "--database", str(tmp_path / "t.db")):
        task = there.settle_in()
        issued = there.issue(task)
        assert there.verify(issued.text).token.id == issued.token.id
        assert {one.kid for one in there.keys.all_keys()} == {
            one.stem for one in (tmp_path / "keys-tokens").glob("*.pem")
        }
        there.keys.rotate(ANN, forced=True)
        assert there.verify(there.issue(task).text).token.key != issued.token.key
        assert claims_in(there.published.status_list(issued.token.list))["iss"] == ISSUER
        there.signer.before = lambda: there.world.tasks.end(
            "default", task.id, TaskEvent.CANCEL, ANN, reason="done"
        )
        with pytest.raises(TaskEndedError):
            there.issue(task)


def test_a_signer_says_whether_it_could_sign_and_why_not(there: TokenWorld, tmp_path: Path) -> None:
    database = tmp_path / "t.db"
    with start(tmp_path, "--database", str(database)):
        there.signer.look(ISSUER)
        with pytest.raises(SignerUnavailableError) as caught:
            there.signer.look("https://another.example")
        assert "--issuer" in caught.value.advice
    with (
        signer(tmp_path / "keys", tmp_path / "s.sock", "--database", str(database)),
        pytest.raises(SignerUnavailableError) as caught,
    ):
        there.signer.look(ISSUER)
    assert "--issuer" in caught.value.advice
    with start(tmp_path, "--database", str(tmp_path / "none.db")), pytest.raises(UnavailableError):
        there.signer.look(ISSUER)


def test_a_signer_that_is_killed_leaves_a_row_that_is_revoked_and_the_next_one_goes_on(
    there: TokenWorld, tmp_path: Path
) -> None:
    database = ("--database", str(tmp_path / "t.db"))
    with start(tmp_path, *database) as running:
        task = there.settle_in()
        there.issue(task)
        there.signer.before = running.process.kill
        with pytest.raises(SignerUnavailableError):
            there.issue(task)
        newest = there.rows()[0]
        assert newest.revoked
        assert "could not be signed" in newest.why
    there.signer.before = lambda: None
    with start(tmp_path, *database):
        there.verify(there.issue(task).text)
    issued = {one["token"] for one in there.world.events("token-issued")}
    assert issued == {one.id for one in there.rows()}


def test_a_signer_that_was_told_no_issuer_or_finds_no_database_signs_nothing(
    there: TokenWorld, tmp_path: Path
) -> None:
    task = there.world.settle_in()
    with (
        signer(tmp_path / "keys", tmp_path / "s.sock", "--create"),
        pytest.raises(SignerUnavailableError, match="without an issuer"),
    ):
        there.issue(task)
    with (
        start(tmp_path, "--database", str(tmp_path / "none.db")),
        pytest.raises(UnavailableError, match=r"none\.db"),
    ):
        there.issue(task)
    assert there.rows() == ()


def test_a_signer_of_another_issuer_does_not_sign(there: TokenWorld, tmp_path: Path) -> None:
    task = there.world.settle_in()
    words = ("--create", "--issuer", "https://other.example", "--database", str(tmp_path / "t.db"))
    with (
        signer(tmp_path / "keys", tmp_path / "s.sock", *words),
        pytest.raises(DeniedError, match="another issuer"),
    ):
        there.issue(task)


def test_on_postgresql_the_signer_reads_with_a_role_that_writes_nothing(
    server: Server, tmp_path: Path
) -> None:
    name = server.database()
    url = server.url(name, "signer")
    store = PostgresStore(server.url(name))
    world = TokenWorld(store, tmp_path)
    world.folder.close()
    remote = SocketTokenSigner(tmp_path / "s.sock")
    world.signer.signer = remote
    with start(tmp_path, "--store", url):
        task = world.settle_in()
        world.verify(world.issue(task).text)
        order = TransactionTokenOrder(
            namespace="default", task=task.id, agent="coder", action=id_of(world.world.ask(task))
        )
        assert claims_in(world.tokens.issue_transaction_token(order, ANN).text)["tctx"]["task"] == task.id
        assert world.published.status_list(world.rows()[-1].list)
    reader = PostgresStore(url)
    with pytest.raises(UnavailableError, match="lacks a right"):
        reader.write(lambda tx: tx.tokens.insert(world.rows()[0]))
    reader.close()
    remote.close()
    store.close()


ROOT = Path(__file__).parents[2]
POINTS = ["written", "before-commit", "after-commit", "signed"]


@pytest.mark.parametrize("point", POINTS)
def test_i46_a_daemon_that_is_killed_at_any_step_leaves_no_token_without_its_row_and_record(
    tmp_path: Path, point: str
) -> None:
    command = [sys.executable, "-m", "tests.wiring.issuing", str(tmp_path), point]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (first,) = ended.stdout.split()
    store = SqlStore(tmp_path / "t.db", reserve=0)
    with store.read() as snapshot:
        rows = {one.id: one for one in snapshot.tokens.tokens("default", limit=9)}
        told = [json.loads(one.body)["event"] for one in snapshot.audit.pending(1000)]
        records = {one["token"]: one for one in told if one["kind"] == "token-issued"}
        assert rows.keys() == records.keys()
        assert claims_in(first)["jti"] in rows
        assert len(rows) == (2 if point in {"after-commit", "signed"} else 1)
        for name, row in rows.items():
            digest = claims_digest(claims_of(row, ground_of(snapshot, row)))
            assert records[name]["digest"] == row.digest == digest
    store.close()
