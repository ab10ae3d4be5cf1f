from __future__ import annotations

import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from taskbound.adapters.store.postgres import LostDatabaseError, PostgresStore, ReadOnlyDatabaseError
from taskbound.adapters.store.postgres.server.link import Unsettled, connect, lost, translate
from taskbound.core.action import ActionState
from taskbound.core.decision import ActHistory
from taskbound.core.revocation import KillSwitch
from taskbound.ports.store import (
    AmbiguousCommitError,
    ConflictError,
    FullDiskError,
    StoreBehindError,
    StoreUnavailableError,
)
from tests.contracts.store.rows import (
    NOW,
    SPACE,
    WRITER,
    action,
    decided,
    event,
    open_chain,
    outcome,
    person,
    read,
)
from tests.core.audit.logs import verify_chain
from tests.peers.cutting import Cutting, How
from tests.postgres import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.ports.store import Transaction

USES = "g0/uses"
STEPS = 36
"""Messages of one decision and more, from the first to the commit, as the driver sends them."""


class Line:
    """A store whose way to its server can be cut, and one beside it whose way can't."""

    def __init__(self, server: Server, cutting: Cutting) -> None:
        self.cutting = cutting
        self.name = server.database()
        self._server = server
        self.beside = PostgresStore(server.url(self.name))
        self.store = PostgresStore(f"postgresql://daemon@/{self.name}?host={cutting.folder}")
        open_chain(self.store)
        with server.connect(self.name) as raw:
            ((self.first,),) = raw.execute("SELECT hash FROM taskbound.writers").fetchall()
        self.store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {USES: 9}))

    def close(self) -> None:
        self.store.close()
        self.beside.close()
        self._server.drop(self.name)

    def permit(self, tx: Transaction, number: int = 1) -> None:
        one = action(number)
        tx.revocation.lock_kill_switch(SPACE)
        tx.tasks.lock_heads(SPACE, ["tsk_1"])
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"][USES]
        tx.actions.lock_acts(SPACE, [(one.root, one.act_key)])
        tx.tasks.set_remainders(SPACE, {("tsk_1", USES): (left, left - 1)})
        tx.actions.put_acts(SPACE, {(one.root, one.act_key): ActHistory(attempts=number)})
        tx.actions.insert_actions([one])
        tx.audit.append(SPACE, WRITER, [decided(one)], NOW)

    def permitted(self) -> bool:
        """Whether the action is there, with all that belongs to it; never only a part of it."""
        with self.beside.read() as seen:
            there = seen.actions.action(SPACE, "act_1") is not None
            assert seen.tasks.remainders(SPACE, "tsk_1") == {USES: 8 if there else 9}
            assert seen.audit.count() == (2 if there else 1)
            known = seen.actions.act(SPACE, action().root, action().act_key)
            assert known.attempts == (1 if there else 0)
        return there


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder, Cutting(Path(folder), server.folder) as cutting:
        one = Line(server, cutting)
        yield one
        one.close()


@pytest.mark.parametrize(("how", "there"), [("before", False), ("after", True), ("stuck", False)])
def test_f3_a_commit_that_is_not_answered_is_ambiguous_and_has_ended_when_it_is_looked_up(
    line: Line, how: How, *, there: bool
) -> None:
    line.cutting.at(b"COMMIT", how)
    with pytest.raises(AmbiguousCommitError):
        line.store.write(line.permit)
    assert line.permitted() is there
    assert (read(line.store, lambda seen: seen.actions.action(SPACE, "act_1")) is not None) is there
    line.store.write(lambda tx: tx.tasks.lock_remainders(SPACE, ["tsk_1"]))
    assert line.permitted() is there


def test_nothing_is_read_or_written_while_nobody_can_tell_how_a_commit_ended() -> None:
    with (
        running() as server,
        tempfile.TemporaryDirectory() as folder,
        Cutting(Path(folder), server.folder) as cutting,
    ):
        one = Line(server, cutting)
        cutting.at(b"COMMIT", "after")

        def work(tx: Transaction) -> None:
            one.permit(tx)
            cutting.folder.joinpath(".s.PGSQL.5432").rename(cutting.folder / "away")

        with pytest.raises(AmbiguousCommitError):
            one.store.write(work)
        with pytest.raises(LostDatabaseError), one.store.read():
            pass
        with pytest.raises(LostDatabaseError):
            one.store.write(lambda tx: tx.audit.count())
        (cutting.folder / "away").rename(cutting.folder / ".s.PGSQL.5432")
        assert read(one.store, lambda seen: seen.audit.count()) == 2
        one.close()


_SHORTER = (
    b"SET session_replication_role = replica",
    b"DELETE FROM taskbound.actions",
    b"DELETE FROM taskbound.records WHERE number = (SELECT max(number) FROM taskbound.records)",
)


def put_back(line: Line) -> None:
    """The log is one record shorter, as a standby has it that did not hear the last commit."""
    with line._server.connect(line.name) as raw, raw.transaction():  # noqa: SLF001 - the database of this line
        for one in _SHORTER:
            raw.execute(one)
        raw.execute("UPDATE taskbound.writers SET seq = 1, hash = %s WHERE writer = %s", (line.first, WRITER))


def write_twice(line: Line) -> None:
    """A record more; where the chain is known from a commit it is found to be another one first, and read."""
    for _ in range(2):
        with suppress(ConflictError):
            line.store.write(lambda tx: tx.audit.append(SPACE, WRITER, [event(1)], NOW))


@pytest.mark.parametrize("answered", [True, False])
def test_f5_i15_a_commit_that_the_database_has_lost_is_missed_also_where_it_was_not_answered(
    line: Line, *, answered: bool
) -> None:
    if answered:
        line.store.write(line.permit)
    else:
        line.cutting.at(b"COMMIT", "after")
        with pytest.raises(AmbiguousCommitError):
            line.store.write(line.permit)
    assert read(line.store, lambda seen: seen.actions.action(SPACE, "act_1")) is not None  # it is answered
    put_back(line)
    with pytest.raises(StoreBehindError, match="committed 2 records, and the database holds 1"):
        write_twice(line)
    with pytest.raises(StoreBehindError), line.store.read():
        pass


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_f1_a_connection_that_is_lost_at_any_step_leaves_all_or_nothing_and_says_which(
    line: Line, step: int, how: How
) -> None:
    line.cutting.after(step, how)
    try:
        line.store.write(line.permit)
    except AmbiguousCommitError:
        line.permitted()
    except StoreUnavailableError:
        assert not line.permitted()
    else:
        assert line.permitted()
    line.cutting.after(0, how)
    with suppress(ConflictError):
        line.store.write(lambda tx: tx.tasks.lock_remainders(SPACE, ["tsk_1"]))
    line.permitted()


def test_the_steps_reach_the_commit_and_beyond(line: Line) -> None:
    before = line.cutting.messages
    line.store.write(line.permit)
    assert 2 < line.cutting.messages - before <= STEPS


def test_connections_that_ended_while_nobody_used_them_are_replaced_unnoticed(
    server: Server, line: Line
) -> None:
    with line.store.read():
        pass
    with server.connect("postgres") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (line.name,)
        )
    assert read(line.store, lambda seen: seen.audit.count()) == 1
    line.store.write(line.permit)
    assert line.permitted()


def test_a_transaction_that_was_broken_off_is_not_taken_for_one_that_committed(server: Server) -> None:
    with server.store() as store:

        def break_off(point: str) -> None:
            if point == "before-commit":
                connection = store._writer  # noqa: SLF001 - the seam: an error that our own code does not see
                assert connection is not None
                with suppress(Exception):
                    connection.execute("SELECT 1 / 0")

        store._at = break_off  # noqa: SLF001 - the seam of this story
        with pytest.raises(StoreUnavailableError):
            store.write(lambda tx: tx.identities.put_person(person(), expect=0))
        assert read(store, lambda seen: seen.identities.persons(SPACE)) == {}


def test_a_lock_that_is_held_for_too_long_refuses_instead_of_waiting_for_ever(server: Server) -> None:
    with server.store() as store:
        store.write(
            lambda tx: tx.revocation.put_kill_switch(SPACE, KillSwitch(stopped=True, epoch=1), expect=0)
        )
        url = store._url  # noqa: SLF001 - the same database, by another way
        name = url.split("/")[3].split("?")[0]
        with server.connect(name) as held, held.transaction():
            held.execute("UPDATE taskbound.kill_switches SET reason = 'held'")
            with pytest.raises(StoreUnavailableError, match="holds what this one needs"):
                store.write(lambda tx: tx.revocation.lock_kill_switch(SPACE))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("idle_in_transaction_session_timeout", "15s"), ("statement_timeout", "15s"), ("lock_timeout", "5s")],
)
def test_nothing_holds_others_up_for_ever(server: Server, setting: str, value: str) -> None:
    with server.store() as store, store.read() as seen:
        found = seen.audit._link.rows(f"SHOW {setting}")  # type: ignore[attr-defined]  # noqa: SLF001 - what the server was told
    assert found == [(value,)]


def test_a_server_that_says_nothing_is_given_up_within_seconds(server: Server) -> None:
    connection = connect(server.url("made"))
    told = connection.info.get_parameters()
    connection.close()
    names = (
        "connect_timeout",
        "tcp_user_timeout",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
    )
    assert [told.get(one) for one in names] == ["5", "10000", "10", "3", "3"]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("23505", ConflictError),
        ("40001", ConflictError),
        ("40P01", ConflictError),
        ("53100", FullDiskError),
        ("53300", LostDatabaseError),
        ("57P01", LostDatabaseError),
        ("57P03", LostDatabaseError),
        ("08006", LostDatabaseError),
        ("25P03", LostDatabaseError),
        ("25006", ReadOnlyDatabaseError),
        ("57014", StoreUnavailableError),
        ("42501", StoreUnavailableError),
        ("XX001", StoreUnavailableError),
    ],
)
def test_what_the_server_refuses_is_told_as_what_it_means(server: Server, state: str, kind: type) -> None:
    with server.connect("made") as raw, pytest.raises(psycopg.Error) as found:
        raw.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$".encode())
    assert type(translate(found.value)) is kind
    assert lost(found.value) is (kind is LostDatabaseError and state != "53300")


SWALLOWED: dict[str, Callable[[Transaction], object]] = {
    "remainders": lambda tx: tx.tasks.set_remainders(SPACE, {("tsk_1", USES): (9, 8)}),
    "acts": lambda tx: tx.actions.put_acts(SPACE, {("root", "key"): ActHistory(attempts=2)}),
    "actions": lambda tx: tx.actions.insert_actions([action(2)]),
    "states": lambda tx: tx.actions.set_outcomes(SPACE, [outcome(action(1))]),
    "records": lambda tx: tx.audit.append(SPACE, WRITER, [event(1)], NOW),
    "writers": lambda tx: tx.audit.append(SPACE, WRITER, [event(1)], NOW),
    "places": lambda tx: tx.audit.extend(0, [one.number for one in tx.audit.pending(9)]),
}


@pytest.mark.parametrize("what", sorted(SWALLOWED))
def test_a_row_that_is_not_written_takes_the_whole_transaction_back(server: Server, what: str) -> None:
    name = server.database()
    store = PostgresStore(server.url(name))
    open_chain(store)

    def fill(tx: Transaction) -> None:
        tx.tasks.open_limits(SPACE, "tsk_1", {USES: 9})
        tx.actions.put_acts(SPACE, {("root", "key"): ActHistory(attempts=1)})
        tx.actions.insert_actions([action(1)])

    store.write(fill)
    with server.connect(name) as admin:
        admin.execute(
            "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        table = "actions" if what == "states" else what
        admin.execute(
            f"CREATE TRIGGER a_swallow BEFORE INSERT OR UPDATE ON taskbound.{table}"
            " FOR EACH ROW EXECUTE FUNCTION public.swallow()".encode()
        )

    def work(tx: Transaction) -> None:
        tx.identities.put_person(person(), expect=0)
        SWALLOWED[what](tx)

    with pytest.raises(ConflictError):
        store.write(work)
    assert read(store, lambda seen: seen.identities.persons(SPACE)) == {}
    store.close()
    server.drop(name)


def test_a_transaction_of_which_the_server_never_heard_did_not_happen(server: Server) -> None:
    asked = connect(server.url("made"))
    assert Unsettled(xid=str(2**40 + 5000), backend=1).settle(asked) is False
    asked.close()


def test_a_transaction_that_still_runs_is_neither_taken_for_committed_nor_for_lost(server: Server) -> None:
    name = server.database()
    runs, asked = server.connect(name), connect(server.url(name, "owner"))
    with runs.transaction():
        found = runs.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert found is not None
        elsewhere = Unsettled(xid=str(found[0]), backend=asked.info.backend_pid)
        with pytest.raises(StoreUnavailableError, match="has not ended yet"):
            elsewhere.settle(asked)
    assert elsewhere.settle(asked) is True
    runs.close()
    asked.close()
    server.drop(name)


def test_who_asks_how_a_commit_ended_ends_no_other_transaction_of_that_connection(server: Server) -> None:
    name = server.database()
    runs, asked = server.connect(name), connect(server.url(name, "owner"))
    before = runs.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert before is not None
    with runs.transaction():
        runs.execute("SELECT pg_current_xact_id()")
        assert Unsettled(xid=str(before[0]), backend=runs.info.backend_pid).settle(asked) is True
        assert runs.execute("SELECT 1").fetchone() == (1,)
    runs.close()
    asked.close()
    server.drop(name)


def test_who_has_closed_the_store_leads_and_reads_nothing_anymore(server: Server) -> None:
    with server.store() as store:
        assert store.leads()
        store.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            store.leads()
        with pytest.raises(StoreUnavailableError, match="closed"), store.read():
            pass
        with pytest.raises(StoreUnavailableError, match="closed"):
            store.write(lambda tx: tx.audit.count())


@pytest.mark.parametrize("setting", ["off", "local"])
def test_a_commit_is_durable_whatever_the_role_was_set_to(server: Server, setting: str) -> None:
    name = server.database()
    with server.connect(name) as admin:
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = {setting}".encode())
    store = PostgresStore(server.url(name))
    with store.read() as seen:
        assert seen.audit._link.rows("SHOW synchronous_commit") == [("on",)]  # type: ignore[attr-defined]  # noqa: SLF001 - what the server was told
    store.close()
    server.drop(name)


def test_nobody_elses_table_takes_the_place_of_ours(server: Server) -> None:
    name = server.database()
    with server.connect(name) as admin:
        admin.execute(
            "CREATE TABLE public.kill_switches (namespace text, stopped int, epoch int, reason text)"
        )
        admin.execute("INSERT INTO public.kill_switches VALUES ('default', 0, 7, 'not ours')")
        admin.execute("GRANT ALL ON public.kill_switches TO PUBLIC")
        admin.execute(f"ALTER DATABASE {name} SET search_path = public, taskbound".encode())
    store = PostgresStore(server.url(name))
    assert read(store, lambda seen: seen.revocation.kill_switch(SPACE)) == KillSwitch()
    store.close()
    server.drop(name)


def test_the_seat_is_one_processs_until_it_ends_or_is_cut_off(server: Server) -> None:
    name = server.database()
    first, second = PostgresStore(server.url(name)), PostgresStore(server.url(name))
    assert first.leads()
    assert first.leads()
    assert not second.leads()
    with server.connect(name) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'taskbound seat' AND datname = current_database()"
            " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )
    assert second.leads()
    with pytest.raises(LostDatabaseError):
        first.leads()
    assert not first.leads()
    second.close()
    with server.connect(name) as admin:  # the server lets go of a lock a moment after its holder went
        held = (
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        while admin.execute(held).fetchone() != (0,):
            continue
    assert first.leads()
    first.close()
    server.drop(name)


@pytest.mark.timeout(180)
def test_k4_a_server_that_is_killed_loses_nothing_that_was_acknowledged() -> None:
    with running() as server:
        name = server.database()
        store = PostgresStore(server.url(name))
        open_chain(store)
        store.write(lambda tx: tx.tasks.open_limits(SPACE, "tsk_1", {USES: 10_000}))
        acknowledged: list[int] = []
        tried = 0
        for turn in range(6):
            killer = threading.Thread(target=_kill_after, args=(server, acknowledged, 7 + 3 * turn))
            killer.start()
            while killer.is_alive() or tried % 5:
                tried += 1
                with suppress(StoreUnavailableError, AmbiguousCommitError, ConflictError):
                    _decide(store, tried)
                    acknowledged.append(tried)
            server.start_again()
        with store.read() as seen:
            there = {one.id for one in seen.actions.actions(SPACE, limit=20_000)}
            left = seen.tasks.remainders(SPACE, "tsk_1")[USES]
            records = [one.body for one in seen.audit.pending(50_000)]
        assert {f"act_{number}" for number in acknowledged} <= there
        assert left == 10_000 - len(there)
        assert verify_chain(records).count == len(there) + 1
        assert len(acknowledged) >= 6 * 7
        store.write(
            lambda tx: tx.actions.set_outcomes(
                SPACE, [replace(outcome(action(acknowledged[-1])), after=ActionState.SUCCEEDED)]
            )
        )
        store.close()


def _kill_after(server: Server, acknowledged: list[int], more: int) -> None:
    """Kill the server in the midst of it, once so many more writes were acknowledged."""
    wanted = len(acknowledged) + more
    pause = threading.Event()
    while len(acknowledged) < wanted:
        pause.wait(0.0005)
    server.kill()


def _decide(store: PostgresStore, number: int) -> None:
    one = action(number)

    def work(tx: Transaction) -> None:
        left = tx.tasks.lock_remainders(SPACE, ["tsk_1"])["tsk_1"][USES]
        tx.tasks.set_remainders(SPACE, {("tsk_1", USES): (left, left - 1)})
        tx.actions.insert_actions([one])
        tx.audit.append(SPACE, WRITER, [decided(one)], NOW)

    store.write(work)
