"""A process that hands on, steps, amends, widens and ends tasks until it is killed in the midst of one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.store.sql import Machine, SqlStore
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.action import ActionState
from taskbound.core.approval import AnswerKind, Statement, Subject, render_statement
from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.audit import TaskAmended, TaskStarted, parse_record
from taskbound.core.clock import Instant
from taskbound.core.task import ENDED, TaskEvent, held
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.task import AmendmentOrder
from tests.peers.openssh import Device
from tests.peers.people import enrolled
from tests.world import ANN, World, code_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from taskbound.core.task import Task
    from taskbound.ports.store import Snapshot
    from taskbound.ports.task import StoredAmendment


KINDS: Final = ("delegate", "amend", "widen", "step", "end")
POINTS: Final = ("begin", "locked", "written", "before-commit", "after-commit")
USES: Final = 40
_EVERYTHING: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKill:
    """In which kind of write: the how-manieth time at a point, or after so many steps of SQLite."""

    kind: str
    point: str = ""
    steps: int = 0
    times: int = 1


@dataclass(slots=True)
class Told:
    """What a process said: the last picture that it saw before it began, and what was acknowledged."""

    before: str = ""
    kind: str = ""
    acknowledged: int = 0
    kinds: list[str] = field(default_factory=list)


def uses(most: int) -> dict[str, Any]:
    """A scope that pays so often, in three steps, of which each keeps what there was."""
    pay = {"tool": "bank__pay", "others": "any", "uses": most}
    looks = [
        {
            "name": f"look-{folder}",
            "keep": True,
            "grants": [{"tool": "bank__look", "arguments": {"path": {"below": f"/{folder}"}}}],
        }
        for folder in ("a", "b")
    ]
    return {"steps": [{"name": "pay", "grants": [pay]}, *looks]}


def _plain(most: int) -> dict[str, Any]:
    return {"grants": [{"tool": "bank__pay", "others": "any", "uses": most}]}


class _Chance:
    """Names that no other life of the database has."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, count(1)

    def name(self, prefix: str) -> str:
        return f"{prefix}_{self._seed:010d}{next(self._count):016d}"

    def code(self) -> str:
        return f"{next(self._count):04d}-0000"

    def secret(self) -> str:
        return f"{next(self._count):043d}"


class _Life:
    """One process: it says what it sees before each write that it can be killed in."""

    def __init__(self, path: Path, seed: int, kill: TreeKill, told: Connection) -> None:
        self._kill, self._told, self._name = kill, told, f"con_{seed}"
        self._doing, self._times, self._steps = "", kill.times, kill.steps
        self._device = Device(_ed25519=Ed25519PrivateKey.from_private_bytes(b"k" * 32), counter=seed * 1000)
        machine = Machine(factory=self._mortal() if kill.steps else driver.Connection)
        self.store = SqlStore(path, reserve=0, at=self._at, machine=machine)
        self.world = World(store=self.store, chance=_Chance(seed))  # type: ignore[arg-type]  # names of its own
        with self.store.read() as snapshot:
            new = not snapshot.identities.persons("default")
        if new:
            first = self.world.settle_in()
            self.world.tasks.end("default", first.id, TaskEvent.CANCEL, ANN, reason="")
            self.world.add_agent("helper")
            self._make_approver()
        with self.store.read() as snapshot:
            (self._key,) = snapshot.identities.person_keys("default")

    def _make_approver(self) -> None:
        """Bob, whose key is the namespace's first and counts at once, approves for both agents."""
        register_person(self.world.adapters, "default", "bob", uid=1001, actor=ANN)
        enrolled(self.world, "bob", self._device)
        people = People(self.world.adapters, self.world.views)
        for agent in ("coder", "helper"):
            people.set_answering("default", agent, owner="ann", approvers=("bob",), actor=ANN, owns=False)

    def run(self) -> None:
        """Whole courses of a tree, until killed."""
        while True:
            self.course()

    def course(self) -> None:
        """Parts in two levels, each spent from; each kind of write more than once, over children."""
        root = self.world.start(scope=uses(USES))
        child = self.delegate(root, 12)
        below = self.delegate(child, 5)
        other = self.delegate(root, 6)
        for one in (root, child, below, below, other):
            self.pay(one)
        self.write("step", lambda: self.world.changes.step("default", root.id, "", ANN))
        self.write("amend", lambda: self._amend(child, _plain(9)))
        self.widen(child, _plain(11))
        self.end(below)
        self.write("amend", lambda: self._amend(root, uses(30)))
        self.widen(root, uses(35))
        self.pay(child)
        self.write("step", lambda: self.world.changes.step("default", root.id, "", ANN))
        self.delegate(child, 2)
        self.end(child)
        self.pay(root)
        self.write("amend", lambda: self._amend(root, uses(20)))
        self.end(root)

    def delegate(self, parent: Task, most: int) -> Task:
        """A child, paid for by its parent."""
        scope = scope_of(_plain(most))
        child: Task = self.write("delegate", lambda: self.world.delegate(parent, scope=scope))
        return child

    def widen(self, task: Task, scope: dict[str, Any]) -> None:
        """A wider scope: what can be killed is the answer that applies it."""
        order = AmendmentOrder(namespace="default", task=task.id, scope=scope_of(scope), reason="more")
        question = self.world.widenings.ask(order, ANN).question
        said = Statement(
            kind=AnswerKind.APPROVE,
            namespace="default",
            question=question.id,
            digest=question.digest,
            person="bob",
            key=self._key.id,
            at=Instant(self.world.clock.at),
            subject=Subject.AMENDMENT,
        )
        raw = render_statement(said)
        signature = self._device.sign(raw)
        told = self.write("widen", lambda: self.world.widenings.answer("default", raw, signature))
        assert told.state is AmendmentState.APPLIED

    def end(self, task: Task) -> None:
        """The end of a task, with what is beneath it and what it gives back."""
        self.write(
            "end", lambda: self.world.tasks.end("default", task.id, TaskEvent.COMPLETE, ANN, reason="")
        )

    def pay(self, task: Task) -> None:
        """One use."""
        assert code_of(self.world.ask(task, agent=task.agent, connection=self._name)) == "permit"

    def write(self, kind: str, work: Callable[[], Any]) -> Any:
        """Do it, as something that can be killed."""
        with self.store.read() as snapshot:
            seen = picture(snapshot)
        self._told.send_bytes(f"{kind} {seen}".encode())
        self._doing = kind
        answer = work()
        self._doing = ""
        self._told.send_bytes(b"done")
        return answer

    def _amend(self, task: Task, scope: dict[str, Any]) -> None:
        self.world.changes.amend("default", task.id, scope_of(scope), ANN)

    def _at(self, point: str) -> None:
        if self._doing == self._kill.kind and point == self._kill.point:
            self._times -= 1
            if not self._times:
                os.kill(os.getpid(), signal.SIGKILL)

    def _step(self) -> int:
        if self._doing == self._kill.kind:
            self._steps -= 1
            if self._steps <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def _mortal(self) -> type[driver.Connection]:
        step = self._step

        class Mortal(driver.Connection):
            def __init__(self, *args: Any, **words: Any) -> None:
                super().__init__(*args, **words)
                self.set_progress_handler(step, 1)

        return Mortal


def _live(path: Path, seed: int, kill: TreeKill, told: Connection) -> None:
    _Life(path, seed, kill, told).run()


def kill_in_tree(path: Path, seed: int, kill: TreeKill) -> Told:
    """Let a process live on the database until it is killed; what it had said."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.tree"])
    hearing, telling = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(path, seed, kill, telling))
    process.start()
    telling.close()
    told = Told()
    while True:
        try:
            word, _, seen = hearing.recv_bytes().decode().partition(" ")
        except EOFError:
            break
        if word == "done":
            told.acknowledged += 1
            told.kinds.append(told.kind)
        else:
            told.kind, told.before = word, seen
    process.join()
    hearing.close()
    assert process.exitcode == -signal.SIGKILL, f"the process ended by itself: {process.exitcode}"
    return told


def picture(snapshot: Snapshot) -> str:
    """Every task with its state, step, scope and what is left, amendments, and how many records there are."""
    rows = [
        [one.id, one.state.value, one.step, one.version, one.scope.digest, _left(snapshot, one)]
        for one in sorted(_tasks(snapshot), key=lambda one: one.id)
    ]
    asked = [[one.question.id, one.state.value, len(one.answers)] for one in _amendments(snapshot)]
    return json.dumps([rows, asked, snapshot.audit.count()], sort_keys=True)


def require_whole_trees(path: Path) -> str:
    """Open the database as a daemon does, and look at every tree; its picture."""
    store = SqlStore(path, reserve=0)
    try:
        with store.read() as snapshot:
            assert compare_rows(snapshot, lambda _done, _total: None).differences == ()
            tasks = _tasks(snapshot)
            for root in (one for one in tasks if not one.parent):
                _require_whole(snapshot, root)
            bodies = [*snapshot.audit.records(0, _EVERYTHING)]
            bodies += [one.body for one in snapshot.audit.pending(_EVERYTHING)]
            events = [parse_record(one).event for one in bodies]
            begun = {one.task for one in events if isinstance(one, TaskStarted)}
            assert begun == {one.id for one in tasks}, (
                "a task without its record, or a record without its task"
            )
            applied = {one.amendment for one in events if isinstance(one, TaskAmended) and one.amendment}
            for one in _amendments(snapshot):
                whole = (True, 1) if one.question.id in applied else (False, 0)
                assert (one.state is AmendmentState.APPLIED, len(one.answers)) == whole
            return picture(snapshot)
    finally:
        store.close()


def _require_whole(snapshot: Snapshot, root: Task) -> None:
    """What a tree has left, and has spent, is what its root was given: nothing multiplied, nothing lost."""
    living = [one for one in snapshot.tasks.tree("default", root.id) if one.state not in ENDED]
    names = {one.id for one in living}
    assert all(not one.parent or one.parent in names for one in living), "runs beneath what has ended"
    left = {one.id: _left(snapshot, one) for one in living}
    for one in living:
        assert left[one.id].keys(), "a task without its limits"
        assert all(amount >= 0 for amount in left[one.id].values())
    if root.state not in ENDED:
        spent = sum(
            one.root == root.id and one.decision == "permit" and one.state is not ActionState.NOT_SENT
            for one in snapshot.actions.actions("default", limit=_EVERYTHING)
        )
        form = json.loads(root.scope.canonical)
        given = form["steps"][0]["grants"][0]["uses"]
        assert held(root, living, left)["g0/uses"] + spent == given
        assert sum(amount for one in left.values() for amount in one.values()) + spent <= given


def _left(snapshot: Snapshot, task: Task) -> dict[str, int]:
    return dict(snapshot.tasks.remainders("default", task.id))


def _amendments(snapshot: Snapshot) -> tuple[StoredAmendment, ...]:
    return snapshot.amendments.amendments("default", limit=_EVERYTHING)


def _tasks(snapshot: Snapshot) -> tuple[Task, ...]:
    return snapshot.tasks.tasks("default", limit=_EVERYTHING)
