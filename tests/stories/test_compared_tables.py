"""Which tables `audit verify` compares with the log, why others are not, and how an edited row shows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.adapters.store.sql import SqlStore
from taskbound.adapters.store.sql.schema import METADATA
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.audit import ActionDecided, ActionOutcome, Record, parse_record
from taskbound.core.audit.events.token import TokenIssued
from taskbound.core.task import TaskEvent
from taskbound.flows.action.outcome import reconcile
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.audit.task_rows import ActLedger
from taskbound.flows.credential.handing import acknowledge_credential
from taskbound.flows.credential.naming import open_mark
from taskbound.flows.identity import Groups
from taskbound.flows.revocation import stop
from taskbound.flows.token.revoking import revoke_token
from tests.core.audit.samples import least
from tests.peers.holding import Holding, hold_policy
from tests.peers.targeting import Targets
from tests.sqlite import sqlite_store
from tests.stories.brokering import Broker, put
from tests.stories.signing import SPACE, Lobby
from tests.stories.targeting import aimed
from tests.stories.test_claimed_groups import payers
from tests.token_world import CODER, OTHER_KEY, TokenWorld
from tests.world import ANN, World, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.ports.store import Store

COMPARED: Final = {
    "actions": "rows",
    "remainders": "rows",
    "tasks": "rows",
    "acts": "task_rows",
    "agents": "identity_rows",
    "amendment_answers": "task_rows",
    "amendments": "task_rows",
    "approval_plans": "task_rows",
    "approvals": "task_rows",
    "credentials": "token_rows",
    "namespaces": "identity_rows",
    "person_keys": "identity_rows",
    "persons": "identity_rows",
    "activations": "token_rows",
    "bundles": "token_rows",
    "bundles_in_force": "token_rows",
    "service_keys": "identity_rows",
    "services": "identity_rows",
    "accounts": "standing_rows",
    "agent_keys": "standing_rows",
    "approval_limits": "standing_rows",
    "identity_issuers": "standing_rows",
    "issuers": "standing_rows",
    "kill_switches": "standing_rows",
    "person_groups": "standing_rows",
    "selectors": "standing_rows",
    "servers": "standing_rows",
    "targets": "standing_rows",
    "token_clients": "standing_rows",
    "trusts": "standing_rows",
    "upstream_secrets": "standing_rows",
    "templates": "task_rows",
    "token_keys": "token_rows",
    "tokens": "token_rows",
    "tool_approvers": "token_rows",
    "tools": "token_rows",
}
"""The module of `flows.audit` that compares a table."""

LOG: Final = "the log itself, which is verified"
SWEPT: Final = "is kept for minutes and leaves no record; without its row it counts for nothing"
NOT_COMPARED: Final = {
    "checkpoints": LOG,
    "places": LOG,
    "records": LOG,
    "tiles": LOG,
    "writers": LOG,
    "answered": "answers that are repeated to the caller that had them; each rests on rows that are compared",
    "approval_answers": "signed statements, which are verified whenever one counts",
    "approval_displays": "when a question was first shown: by it a hasty yes is told, and none is refused",
    "browser_sessions": "known by a digest that no record may hold",
    "claims": "digests of what was used once; no record holds them",
    "claims_forgotten": "instants until which `claims` were forgotten; no record holds them",
    "epochs": "names records of reconciled stores, which the broker remembers itself",
    "heartbeats": "moves without a record: a heartbeat is no event",
    "installation": "the mark of names in targets, which the broker remembers itself",
    "revocations": "entries of the feed's last hour, made of records",
    "runs": "processes of this boot; the peer's ancestors are read from the kernel at each connection",
    "schema_revision": "the number of the schema, which is looked at whenever the database is opened",
    "shared_claims": "claims of services, minutes long; no record holds them",
    "shared_tallies": "counts `shared_claims`",
    "sign_ins": SWEPT,
    "task_accounts": "the accounts that a task's processes had; a missing one shows in no other row",
    "task_evidence": "kept by its digest, which a task's evidence names",
    "token_admissions": "renewed without a record; what it brings is a token, which has one",
    "token_refreshes": "digests of what is used once; no record holds them",
    "token_requests": SWEPT,
    "unclaimed_tasks": SWEPT,
}
"""Why a table is not compared."""


def test_each_table_is_compared_or_has_the_reason_why_not() -> None:
    assert sorted(METADATA.tables) == sorted([*COMPARED, *NOT_COMPARED])
    assert all(find_spec(f"taskbound.flows.audit.{one}") for one in COMPARED.values())


def live_tokens(store: Store, folder: Path) -> None:
    """Tokens of which one is revoked, and keys of which one is retired and one revoked."""
    here = TokenWorld(store, folder)
    task = here.settle_in()
    revoke_token(here.adapters, SPACE, here.issue(task).token.id, CODER, owns=True, why="lost")
    here.keys.rotate(ANN, forced=True)
    here.keys.revoke(here.issue(task, binding=OTHER_KEY).token.key, ANN, why="stolen")
    here.issue(task)
    here.close()


def live_targets(store: Store, _: Path) -> None:
    """A target that was tested, with its canaries gone."""
    at = aimed(store)
    open_mark(at.adapters)
    broker = Broker(world=at.world)
    for one in at.canaries(at.add()):
        broker.mint(one)
        broker.revoke(one)


def live_credentials(store: Store, _: Path) -> None:
    """Credentials: one in use, one that is being revoked, and one that is revoked."""
    world = World(store=store)
    world.settle_in()
    open_mark(world.adapters)
    there = Targets(world)
    broker = Broker(world=world)
    for _number in range(2):
        there.ask()
    ending = there.rows()
    broker.waited = {one.id for one in ending}
    for one in ending:
        broker.mint(one)
    world.tasks.pause(SPACE, there.task.id, ANN, reason="wait")
    broker.revoke(ending[0])
    world.tasks.resume(SPACE, there.task.id, ANN)
    action = id_of(there.ask(connection="con_used"))
    (used,) = (one for one in there.rows() if one.action == action)
    broker.waited = {used.id}
    broker.mint(used)
    acknowledge_credential(world.adapters, SPACE, used.id, "con_used")


def live_people(store: Store, _: Path) -> None:
    """Groups by a person's word and by an issuer's, and a stop that was lifted."""
    lobby = Lobby(store)
    payers(lobby)
    lobby.enter("s-bob", groups=["pay"])
    Groups(lobby.world.adapters).set_member(SPACE, "payers", "ann", member=True, actor=ANN, owns=True)
    lobby.world.clock.advance(60)
    lobby.enter("s-bob", groups=["pay"])
    for stopped in (True, False):
        stop(lobby.world.adapters, SPACE, stopped=stopped, reason="a drill", actor=ANN)
    stop(lobby.world.adapters, SPACE, stopped=True, reason="risk", actor=ANN)


def live_acts(store: Store, _: Path) -> None:
    """Acts that failed, are unknown, were found out, and of a tree that has ended."""
    world = World(store=store)
    task = world.settle_in()
    for number, outcome in enumerate(("failed", "succeeded", "unknown", "not-sent"), start=1):
        world.tell(
            id_of(world.ask(task, arguments={"to": "eve", "amount": number})),
            outcome,
            b"{}" if outcome in {"failed", "succeeded"} else None,
        )
    world.tell(id_of(world.ask(task, arguments={"to": "eve", "amount": 1})), "succeeded", b"{}")
    lost = id_of(world.ask(task, arguments={"to": "eve", "amount": 5}))
    world.tell(lost, "unknown", None)
    reconcile(world.adapters, SPACE, lost, "succeeded", "the bank says so", ANN)
    over = world.start()
    world.tell(id_of(world.ask(over, arguments={"to": "eve", "amount": 6})), "failed", b"{}")
    world.tasks.end(SPACE, over.id, TaskEvent.COMPLETE, ANN, reason="done")


def live_approvals(store: Store, _: Path) -> None:
    """An approval that was used, and one that is open."""
    there = Holding(store, hold_policy("approval:finance"))
    action = id_of(there.world.ask(there.task))
    there.say(action, "bob")
    there.world.ask(there.task)
    there.world.tell(action)
    there.world.ask(there.task, arguments={"to": "eve", "amount": 2})


LIVES: Final[dict[str, Callable[[Store, Path], None]]] = {
    "acts": live_acts,
    "approvals": live_approvals,
    "credentials": live_credentials,
    "people": live_people,
    "targets": live_targets,
    "tokens": live_tokens,
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By name, a database in which something of each kind has happened."""
    made = {}
    for name, live in LIVES.items():
        folder = tmp_path_factory.mktemp(name)
        store = SqlStore(folder / "t.db", reserve=0)
        live(store, folder)
        store.close()
        made[name] = folder / "t.db"
    return made


def differences(path: Path) -> tuple[str, ...]:
    store = SqlStore(path, reserve=0)
    with store.read() as snapshot:
        found = compare_rows(snapshot, lambda _done, _total: None).differences
    store.close()
    return found


@pytest.mark.parametrize("name", LIVES)
def test_rows_that_were_not_edited_are_what_the_log_says(lived: dict[str, Path], name: str) -> None:
    assert differences(lived[name]) == ()


def test_records_of_one_act_that_two_daemons_wrote_count_in_either_order(lived: dict[str, Path]) -> None:
    store = SqlStore(lived["acts"], reserve=0)
    with store.read() as snapshot:
        records = [parse_record(one.body) for one in snapshot.audit.pending(snapshot.audit.count())]
        acts = [one.event.act_key for one in records if isinstance(one.event, ActionDecided)]
        twice = next(one for one in acts if acts.count(one) == 2)
        actions, rest = list[str](), list[Record]()
        permits, ends = list[Record](), list[Record]()
        for one in records:
            match one.event:
                case ActionDecided(act_key=key, action=action) if key == twice:
                    permits.append(one)
                    actions.append(action)
                case ActionOutcome(action=action) if action in actions:
                    ends.append(one)
                case _:
                    rest.append(one)
        assert (len(permits), len(ends)) == (2, 2)
        ledger = ActLedger(snapshot)
        for one in (*rest, *reversed(permits), *reversed(ends)):
            ledger.take(one)
        assert list(ledger.differences()) == []
    store.close()


EDITS: Final = [
    ("acts", "UPDATE acts SET last_outcome = 'failed' WHERE last_outcome = 'succeeded'", "another outcome"),
    ("acts", "UPDATE acts SET last_outcome = 'none' WHERE last_outcome = 'unknown'", "another outcome"),
    ("acts", "UPDATE acts SET attempts = 1 WHERE attempts = 2", "another number of attempts"),
    ("acts", "UPDATE acts SET last_action = ''", "another last attempt"),
    ("acts", "DELETE FROM acts WHERE last_outcome = 'unknown'", "another number of attempts"),
    (
        "acts",
        "INSERT INTO acts SELECT namespace, root, 'x', 1, 'failed', '', 0 FROM acts LIMIT 1",
        "and no record permitted it",
    ),
    ("acts", "UPDATE tasks SET requester = 'eve'", "another requester"),
    ("acts", "UPDATE tasks SET parent = 'x'", "another parent"),
    ("acts", "UPDATE tasks SET root = 'x'", "another root"),
    ("acts", "UPDATE tasks SET learning = 1", "another word for learning"),
    ("acts", "UPDATE tasks SET heartbeat = 9", "another heartbeat"),
    ("approvals", "UPDATE approvals SET state = 'approved' WHERE state = 'consumed'", "another state"),
    ("approvals", "UPDATE approvals SET state = 'approved' WHERE state = 'pending'", "another state"),
    ("approvals", "DELETE FROM approvals WHERE state = 'consumed'", "was asked for, and is not there"),
    ("credentials", "UPDATE credentials SET state = 'revoked' WHERE state = 'revoking'", "another state"),
    ("credentials", "UPDATE credentials SET state = 'active' WHERE state = 'revoking'", "another state"),
    ("credentials", "UPDATE credentials SET state = 'revoked' WHERE state = 'active'", "another state"),
    ("credentials", "UPDATE credentials SET ends = ends + 1 WHERE state = 'active'", "another end"),
    ("credentials", "UPDATE credentials SET due = 0 WHERE state = 'revoking'", "another turn"),
    ("credentials", "UPDATE credentials SET due = due * 2 WHERE state = 'active'", "another turn"),
    ("credentials", "UPDATE credentials SET acknowledged = 0", "another acknowledgement"),
    ("credentials", "UPDATE credentials SET recipient = 'x'", "another recipient"),
    ("credentials", "UPDATE credentials SET target = 'x' WHERE state = 'revoking'", "another target"),
    ("credentials", "UPDATE credentials SET task = 'x' WHERE state = 'active'", "another task"),
    ("credentials", "UPDATE credentials SET renewal = 'x', renewal_state = 'done'", "another renewal"),
    ("credentials", "DELETE FROM credentials WHERE state = 'revoking'", "was written down, and is not there"),
    (
        "credentials",
        "UPDATE credentials SET id = 'crd_x' WHERE state = 'active'",
        "no record says that it was",
    ),
    ("people", 'UPDATE person_groups SET members = \'["ann","bob"]\'', "group payers has another members"),
    ("people", "UPDATE person_groups SET claimed = replace(claimed, 'bob', 'ann')", "another claims"),
    ("people", "UPDATE person_groups SET claimed = '[]'", "group payers has another claims"),
    ("people", "UPDATE person_groups SET grantable = NULL", "group payers has another right to grant"),
    ("people", "UPDATE person_groups SET name = 'other'", "group other is there, and no record"),
    ("people", "DELETE FROM person_groups", "group payers was made, and is not there"),
    ("people", "UPDATE accounts SET person = 'ann' WHERE subject = 's-bob'", "another person"),
    ("people", "UPDATE identity_issuers SET issuer = 'https://evil.example'", "corp has another issuer"),
    ("people", "UPDATE identity_issuers SET private = 1", "issuer of identities corp has another address"),
    (
        "people",
        "UPDATE identity_issuers SET groups_at = '/x'",
        "issuer of identities corp has another groups",
    ),
    ("people", "UPDATE kill_switches SET stopped = 0", "stop has another state"),
    ("people", "DELETE FROM kill_switches", "stop was said, and is not there"),
    ("people", "INSERT INTO approval_limits VALUES ('default', 9, 9, 9)", "limit of questions is there"),
    (
        "targets",
        "UPDATE targets SET file = CAST(replace(file, '127.0.0.1', '10.9.9.9') AS BLOB)",
        "orders-db has another",
    ),
    (
        "targets",
        "UPDATE targets SET file = CAST(replace(file, 'carol', 'eve') AS BLOB)",
        "orders-db has another",
    ),
    ("targets", "UPDATE targets SET identity = 'x'", "target orders-db has another identity"),
    ("targets", "UPDATE targets SET sealed = 'x'", "target orders-db has another admin access"),
    ("targets", "UPDATE targets SET state = 'untested'", "target orders-db has another state"),
    ("targets", "UPDATE targets SET name = 'other'", "target other is there, and no record says"),
    ("targets", "DELETE FROM targets", "target orders-db was added, and is not there"),
    ("targets", "UPDATE servers SET identity = 'x' WHERE target = 1", "orders-db has another identity"),
    ("targets", "UPDATE servers SET target = 0 WHERE target = 1", "orders-db has another form"),
    (
        "targets",
        "UPDATE servers SET spec = CAST('{}' AS BLOB) WHERE target = 1",
        "orders-db has another start",
    ),
    ("targets", "DELETE FROM servers WHERE target = 1", "server orders-db was added, and is not there"),
    ("tokens", "UPDATE tokens SET revoked = 0, why = '' WHERE revoked", "another revocation"),
    ("tokens", "UPDATE tokens SET unsigned = 1 WHERE revoked", "another revocation"),
    ("tokens", "UPDATE tokens SET revoked = 1 WHERE NOT revoked", "another revocation"),
    ("tokens", "UPDATE tokens SET expires = expires + 1000000", "another end"),
    ("tokens", "UPDATE tokens SET thumbprint = 'x'", "another binding"),
    ("tokens", "UPDATE tokens SET task = 'x'", "another task"),
    ("tokens", "UPDATE tokens SET subject = 'person:eve'", "another subject"),
    ("tokens", "UPDATE tokens SET place = place + 1 WHERE revoked", "another place in the status list"),
    ("tokens", "UPDATE tokens SET id = 'x' WHERE revoked", "token x is there, and no record says"),
    ("tokens", "DELETE FROM tokens WHERE revoked", "was issued, and is not there"),
    ("tokens", "UPDATE token_keys SET state = 'retired' WHERE state = 'revoked'", "another state"),
    ("tokens", "UPDATE token_keys SET public = CAST('{}' AS BLOB)", "another public half"),
    ("tokens", "UPDATE token_keys SET kid = 'x' WHERE state = 'revoked'", "key of tokens x is there, and no"),
]


@pytest.mark.parametrize(("name", "text", "words"), EDITS, ids=[f"{name}: {text}" for name, text, _ in EDITS])
def test_edited_row_is_found(
    lived: dict[str, Path], tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / "t.db"
    shutil.copyfile(lived[name], path)
    connection = driver.connect(path)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    assert connection.execute(text).rowcount >= 1
    connection.commit()
    connection.close()
    found = differences(path)
    assert any(words in one for one in found), found


def test_invented_credential_is_found_once_it_was_moved(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "t.db", reserve=0)
    world = World(store=store)
    world.settle_in()
    row = put(world, "a")
    Broker(world=world, waited={row.id}).mint(row)
    store.close()
    assert any("was moved, and no record" in one for one in differences(tmp_path / "t.db"))


def test_token_that_was_swept_after_its_action_was_lost_is_no_difference() -> None:
    world = World(store=sqlite_store())
    issued, lost = least("token-issued"), least("action-outcome")
    assert isinstance(issued, TokenIssued)
    assert isinstance(lost, ActionOutcome)
    issued = replace(issued, token="tok_1", action="act_1", expires=1)
    lost = replace(lost, action="act_1", after="unknown")
    world.store.write(
        lambda tx: tx.audit.append(SPACE, world.adapters.writer, [issued, lost], world.clock.now())
    )
    with world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
