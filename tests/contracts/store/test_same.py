from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.action import ActionState
from taskbound.core.audit import ChainUnopenedError
from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory, Presentation
from taskbound.core.errors import TaskboundError
from taskbound.core.policy import ActiveBundle
from taskbound.core.revocation import KillSwitch
from taskbound.core.task import TaskState
from taskbound.ports.policy import BundleActivation, StoredBundle
from taskbound.ports.store import ConflictError
from tests.contracts.store.rows import (
    NOW,
    OTHER,
    SPACE,
    action,
    agent,
    decided,
    event,
    opening,
    outcome,
    server,
    task,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.ports.store import Snapshot, Store, Transaction
    from tests.postgres import Server

spaces = st.sampled_from([SPACE, OTHER])
small = st.integers(0, 3)
names = st.sampled_from(["a", "b"])
writers = st.sampled_from(["wrt_a", "wrt_b"])
task_ids = st.sampled_from(["tsk_1", "tsk_2", "tsk_3"])
decisions = st.sampled_from(["permit", "hold", "refuse"])


EITHER = [ConflictError, ChainUnopenedError]
"""What fails in two ways may be told in either."""


def everything(seen: Snapshot) -> list[object]:
    found: list[object] = []
    for space in (SPACE, OTHER):
        found += [
            dict(seen.identities.persons(space)),
            seen.identities.agents(space),
            seen.tools.servers(space),
            seen.tools.tools(space),
            seen.tools.tools(space, server="a"),
            seen.tasks.tasks(space),
            seen.tasks.tasks(space, states={TaskState.RUNNING, TaskState.PAUSED}, before="tsk_2"),
            seen.tasks.tasks(space, agent="coder", states={TaskState.RUNNING}, limit=1),
            [seen.tasks.remainders(space, one) for one in ("tsk_1", "tsk_2")],
            [seen.tasks.children(space, one) for one in ("tsk_1", "tsk_2", "tsk_3")],
            seen.tasks.heads(space, ["tsk_3"]),
            seen.actions.actions(space),
            seen.actions.actions(space, decision="refuse", task="tsk_1", before="act_2"),
            seen.actions.open_permits(space),
            seen.actions.open_permits(space, connection="con_1", task="tsk_2"),
            seen.actions.count(space, "tsk_1"),
            [seen.audit.place(space, f"act_{n}") for n in range(4)],
            seen.revocation.kill_switch(space),
            (seen.policy.in_force(space), seen.policy.activations(space), seen.policy.bundles(space)),
            [seen.policy.bundle(space, one) for one in ("a", "b")],
        ]
    size = seen.audit.size()
    return [
        *found,
        seen.tasks.due(Instant(NOW + 1_000_001)),
        seen.actions.namespaces(),
        (seen.audit.heads(), seen.audit.count(), size),
        seen.audit.records(max(size - 3, 0), 100),
        [one.body for one in seen.audit.pending(100)],
    ]


class BothEngines(RuleBasedStateMachine):
    """Whatever is asked of both, in whatever order, both answer the same."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.kept = ExitStack()
        self.stores: tuple[Store, ...] = (
            SqlStore(self.folder / "t.db", reserve=0),
            self.kept.enter_context(server.store()),
        )
        self.second: Store = SqlStore(self.folder / "t.db", reserve=0)

    def teardown(self) -> None:
        for store in (*self.stores, self.second):
            store.close()
        self.kept.close()
        shutil.rmtree(self.folder)

    def both(self, work: Callable[[Transaction], object]) -> None:
        answers: list[object] = []
        for store in self.stores:
            try:
                answers.append(store.write(work))
            except TaskboundError as error:
                answers.append(type(error))
        if not all(one in EITHER for one in answers):
            assert answers[0] == answers[1]

    @rule()
    def go_on_through_another_handle_of_the_same_file(self) -> None:
        one, shared = self.stores
        other, self.second = self.second, one
        self.stores = (other, shared)

    @rule(space=spaces, fails=st.booleans(), epoch=small)
    def lock(self, space: str, epoch: int, *, fails: bool) -> None:
        def work(tx: Transaction) -> object:
            if fails:
                changed = task("tsk_1", namespace=space, version=epoch + 1)
                with suppress(ConflictError):
                    tx.tasks.put_task(changed, expect=epoch)
                    tx.identities.put_agent(agent("a", namespace=space, version=epoch + 1), expect=epoch)
                    left = tx.tasks.lock_remainders(space, ["tsk_1"])["tsk_1"]
                    tx.tasks.set_remainders(space, {("tsk_1", name): (one, 9) for name, one in left.items()})
                    put = KillSwitch(stopped=True, epoch=epoch + 1, reason="y")
                    tx.revocation.put_kill_switch(space, put, expect=epoch)
            locked = (
                tx.revocation.lock_kill_switch(space),
                tx.identities.lock_agents(space, ["a", "b"]),
                tx.tools.lock_tools(space, ["a__x", "b__x"]),
                tx.tasks.lock_heads(space, ["tsk_1", "tsk_3"]),
                tx.tasks.lock_remainders(space, ["tsk_1", "tsk_2"]),
            )
            if fails:
                raise ConflictError("this shall fail")
            return locked

        self.both(work)

    @rule(name=names, space=spaces, expect=small)
    def put_agent(self, name: str, space: str, expect: int) -> None:
        written = agent(name, namespace=space, version=expect + 1)
        self.both(lambda tx: tx.identities.put_agent(written, expect=expect))

    @rule(name=names, space=spaces, expect=small, drop=st.booleans())
    def put_or_drop_server(self, name: str, space: str, expect: int, *, drop: bool) -> None:
        def work(tx: Transaction) -> object:
            if drop:
                tx.tools.drop_server(space, name)
            else:
                tx.tools.put_server(server(name, namespace=space, version=expect + 1), expect=expect)
                tx.tools.put_tool(
                    tool(f"{name}__x", of=name, namespace=space, version=expect + 1), expect=expect
                )
            return tx.tools.lock_tools(space, ["a__x", "b__x"])

        self.both(work)

    @rule(
        name=task_ids,
        space=spaces,
        expect=small,
        state=st.sampled_from(list(TaskState)),
        parent=st.sampled_from(["", "tsk_1", "tsk_2"]),
        started=small,
    )
    def put_task(  # all that varies
        self, name: str, space: str, expect: int, state: TaskState, parent: str, started: int
    ) -> None:
        written = replace(
            task(name, namespace=space, state=state, started=started, version=expect + 1),
            parent=parent if parent < name else "",
        )
        self.both(lambda tx: tx.tasks.put_task(written, expect=expect))

    @rule(name=task_ids, space=spaces, left=small)
    def open_limits(self, name: str, space: str, left: int) -> None:
        self.both(lambda tx: tx.tasks.open_limits(space, name, {"uses": left, "total": left}))

    @rule(name=task_ids, space=spaces, before=small, after=st.integers(-1, 3))
    def set_remainders(self, name: str, space: str, before: int, after: int) -> None:
        def work(tx: Transaction) -> object:
            tx.tasks.set_remainders(
                space, {(name, "uses"): (before, after), (name, "total"): (before, before)}
            )
            return tx.tasks.lock_remainders(space, [name])

        self.both(work)

    @rule(
        number=small,
        request=small,
        space=spaces,
        decision=decisions,
        name=task_ids,
        key=st.sampled_from(["", "k"]),
        writer=writers,
        record=st.sampled_from(["before", "after", "never"]),
    )
    def decide(  # noqa: PLR0913, PLR0917  # all that varies
        self,
        number: int,
        request: int,
        space: str,
        decision: str,
        name: str,
        key: str,
        writer: str,
        record: str,
    ) -> None:
        row = replace(
            action(number, namespace=space, decision=decision, task=name, key=key), request=str(request)
        )
        names = [
            Presentation(connection="con_1", request=str(request)),
            Presentation(connection=name, request="", key="k"),
        ]

        def work(tx: Transaction) -> object:
            locked = (
                tx.actions.lock_priors(space, names),
                tx.actions.lock_acts(space, [(row.root, row.act_key)]),
            )
            if record == "before":
                tx.audit.append(space, writer, [decided(row)], NOW)
            tx.actions.insert_actions([row])
            tx.actions.put_acts(space, {(row.root, row.act_key): ActHistory(attempts=number)})
            if record == "after":
                tx.audit.append(space, writer, [decided(row)], NOW)
            return locked

        self.both(work)

    @rule(
        number=small,
        space=spaces,
        before=st.sampled_from([ActionState.PERMITTED, ActionState.HELD]),
        after=st.sampled_from(list(ActionState)),
    )
    def report(self, number: int, space: str, before: ActionState, after: ActionState) -> None:
        change = replace(outcome(action(number), after), before=before)

        def work(tx: Transaction) -> object:
            tx.actions.set_outcomes(space, [change])
            return tx.actions.lock_permits(space, [change.id])

        self.both(work)

    @rule(writer=writers, opens=st.booleans(), names_heads=st.booleans(), count=small, at=small)
    def append(self, writer: str, count: int, at: int, *, opens: bool, names_heads: bool) -> None:
        def work(tx: Transaction) -> object:
            known = [f"{one.writer}:{one.seq}:{one.hash}" for one in tx.audit.heads()]
            events: list[Event] = [opening(*(known if names_heads else ()))] if opens else []
            events += [event(n) for n in range(count)]
            return tx.audit.append(SPACE, writer, events, Instant(NOW + at))

        self.both(work)

    @rule(start=small, most=small, skip=st.integers(0, 1), right=st.booleans())
    def extend(self, start: int, most: int, skip: int, *, right: bool) -> None:
        def work(tx: Transaction) -> None:
            numbers = [one.number for one in tx.audit.pending(most)][skip:]
            tx.audit.extend(tx.audit.size() if right else start, numbers)

        self.both(work)

    @rule(space=spaces, expect=small)
    def put_kill_switch(self, space: str, expect: int) -> None:
        switch = KillSwitch(stopped=expect % 2 == 0, epoch=expect + 1, reason="x")
        self.both(lambda tx: tx.revocation.put_kill_switch(space, switch, expect=expect))

    @rule(space=spaces, name=names)
    def keep_a_bundle(self, space: str, name: str) -> None:
        kept = StoredBundle(
            namespace=space, digest=name, archive=b"x", author="ann", at=NOW, note="", record=1
        )
        self.both(lambda tx: tx.policy.insert_bundle(kept))

    @rule(space=spaces, name=names, epoch=small, expect=small)
    def put_a_bundle_in_force(self, space: str, name: str, epoch: int, expect: int) -> None:
        force = ActiveBundle(epoch=epoch, digest=name)
        one = BundleActivation(namespace=space, force=force, how="activated", by="ann", at=NOW, record=1)

        def work(tx: Transaction) -> object:
            before = tx.policy.lock_in_force(space)
            tx.policy.put_in_force(one, expect=expect)
            return before, tx.policy.lock_in_force(space)

        self.both(work)

    @invariant()
    def all_hold_the_same(self) -> None:
        dumps = []
        for store in self.stores:
            with store.read() as seen:
                dumps.append(everything(seen))
        assert dumps[0] == dumps[1]
        assert len({store.last_instant() for store in self.stores}) == 1


@pytest.mark.timeout(240)  # some 375 steps over two engines, one of them a server, on a shared machine
def test_both_engines_answer_the_same_whatever_is_asked_in_whatever_order(server: Server) -> None:
    class OnThisServer(BothEngines):
        def __init__(self) -> None:
            super().__init__(server)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(max_examples=15, stateful_step_count=25, deadline=None),
    )
