"""Rows of each word with every field filled, and short ways to write and read them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from taskbound.core.action import ActionState
from taskbound.core.audit import ActionDecided, CheckpointSigned, WriterStarted
from taskbound.core.clock import Instant, seconds
from taskbound.core.identity import Agent, AgentState, Breadth, Group, Person
from taskbound.core.identity.agent import Risk
from taskbound.core.identity.issuer import Issuer
from taskbound.core.identity.person_key import Custody, PersonKey, PersonKeyKind, PersonKeyState
from taskbound.core.scope import parse_scope
from taskbound.core.task import (
    Evidence,
    Holds,
    Signed,
    Task,
    TaskState,
    Template,
    Ticket,
    Words,
)
from taskbound.ports.action import OutcomeChange, StoredAction
from taskbound.ports.tool import PinnedServer, PinnedTool

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.audit import Event
    from taskbound.ports.store import Snapshot, Store, Transaction

T = TypeVar("T")

SPACE = "default"
OTHER = "acme"
WRITER = "wrt_a"
NOW = Instant(1_764_000_000_000_000)
SCOPE = parse_scope(
    b'{"grants":[{"tool":"git__log","arguments":{"amount":{"any":true},"path":{"below":"/srv"}},"uses":10,'
    b'"total":{"amount":{"limit":1000,"exponent":2}}}]}'
)
WIDE = parse_scope(b'{"grants":[{"tool":"git__log","others":"any"}]}')


def digest(text: object) -> str:
    return sha256(str(text).encode()).hexdigest()


def read(store: Store, look: Callable[[Snapshot], T]) -> T:
    with store.read() as snapshot:
        return look(snapshot)


def person(name: str = "ann", *, namespace: str = SPACE, version: int = 1) -> Person:
    return Person(namespace=namespace, name=name, uid=1000, version=version, grantable=SCOPE)


EVIDENCE: tuple[Evidence, ...] = (
    Ticket(system="jira", id="OPS-17"),
    Words(digest="5e" * 32),
    Signed(
        issuer="tickets",
        subject="OPS:17 \u202e",
        token="70" * 32,
        claims="c1" * 32,
        key="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        expires=Instant(seconds(1_800_003_600)),
    ),
)


def issuer(name: str = "tickets", *, namespace: str = SPACE, version: int = 1, own: str = "") -> Issuer:
    return Issuer(
        namespace=namespace,
        name=name,
        issuer=own or f"https://example.com/{name}",
        audience="urn:taskbound:default",
        keys=b'{"keys":[]}',
        thumbprints=("a", "b"),
        version=version,
    )


def person_key(name: str = "key_1", *, namespace: str = SPACE, version: int = 1) -> PersonKey:
    return PersonKey(
        namespace=namespace,
        id=name,
        person="ann",
        kind=PersonKeyKind.OPENSSH,
        public=b"\x00\xff public",
        fingerprint="SHA256:abc",
        enrolled=Instant(7),
        usable_from=Instant(2**53),
        enrolled_by="bob",
        state=PersonKeyState.ENROLLED,
        custody=Custody.PASSPHRASE,
        nonce="n",
        label="work laptop \u00fc",
        counter=2**32 - 1,
        version=version,
    )


def group(name: str = "payers", *, namespace: str = SPACE, version: int = 1) -> Group:
    return Group(
        namespace=namespace,
        name=name,
        members=("ann", "bob"),
        grantable=Breadth.CEILING,
        version=version,
    )


def agent(name: str = "coder", *, namespace: str = SPACE, version: int = 1) -> Agent:
    return Agent(
        namespace=namespace,
        name=name,
        state=AgentState.ACTIVE,
        owner="ann",
        approvers=("bob", "Zoë\n"),
        monitor="file:/var/log/agent",
        ceiling=SCOPE,
        challenge=digest("code"),
        acknowledged=NOW,
        version=version,
        risk=Risk.MEDIUM,
        risk_by="bob",
    )


def server(
    name: str = "git", *, namespace: str = SPACE, version: int = 1, is_target: bool = False
) -> PinnedServer:
    return PinnedServer(
        namespace=namespace,
        name=name,
        spec=b'{"command":["git-server"]}',
        identity=digest(name),
        agents=("coder", "other"),
        version=version,
        is_target=is_target,
    )


def tool(name: str = "git__log", *, of: str = "git", namespace: str = SPACE, version: int = 1) -> PinnedTool:
    return PinnedTool(
        namespace=namespace,
        name=name,
        server=of,
        identity=digest(of),
        definition=b'{"name":"log"}',
        digest=digest(name),
        state="text-changed",
        seen=b'{"name":"log","title":"\xc3\xa9"}',
        version=version,
        idempotent=name == "git__log",
        checks=("60:path=row:sqlite:/srv/a.db?table=t&key=k",) if name == "git__log" else (),
        effect="read" if name == "git__log" else "",
        roles=("path=path",) if name == "git__log" else (),
        owner="ann" if name == "git__log" else "",
        unwatched=name == "git__log",
        probes=("path=file:/srv", "revision=revision:path:/srv") if name == "git__log" else (),
    )


def task(  # noqa: PLR0913  # what tests vary
    name: str = "tsk_1",
    *,
    namespace: str = SPACE,
    parent: Task | None = None,
    started: int = 0,
    lifetime: int = 1_000_000,
    state: TaskState = TaskState.RUNNING,
    agent: str = "coder",
    version: int = 1,
) -> Task:
    return Task(
        namespace=namespace,
        id=name,
        agent=agent,
        requester="ann",
        purpose="look at the history, 'quoted' — and more",
        evidence=(*EVIDENCE,),
        scope=SCOPE,
        state=state,
        parent=parent.id if parent else "",
        root=parent.root if parent else name,
        started=Instant(NOW + started),
        deadline=Instant(NOW + started + lifetime),
        version=version,
    )


def template(name: str = "review", *, namespace: str = SPACE, version: int = 1) -> Template:
    return Template(
        namespace=namespace,
        name=name,
        scope=SCOPE,
        seconds=600,
        purpose="review it",
        version=version,
        heartbeat=30,
        grace=600,
        holds=Holds.OUTLIVE_CALL,
    )


def action(  # noqa: PLR0913  # what tests vary
    number: int = 1,
    *,
    namespace: str = SPACE,
    task: str = "tsk_1",
    decision: str = "permit",
    connection: str = "con_1",
    key: str = "",
    act: str = "act",
) -> StoredAction:
    states = {"permit": ActionState.PERMITTED, "hold": ActionState.HELD, "refuse": ActionState.REFUSED}
    return StoredAction(
        namespace=namespace,
        id=f"act_{number}",
        task=task,
        root=f"root of {task}",
        agent="coder",
        tool="git__log",
        server=digest("server"),
        definition=digest("definition"),
        digest=digest(("digest", number)),
        act_key=digest(act),
        arguments=b'{"max_count":10,"path":"/srv/\xc3\xa9"}',
        state=states[decision],
        decision=decision,
        code="" if decision == "permit" else "outside",
        reasons=(("covered", "grant g0 covers this", "g0"), ("more", '\u2028 "quoted" \\', "")),
        grant="g0" if decision == "permit" else "",
        charges=(("g0/uses", 1), ("g0/total/amount", 2**63 - 1)) if decision == "permit" else (),
        policies=("base", "policy \u202e 2"),
        bundle=digest("bundle"),
        scope=SCOPE.digest,
        flags=("path: not-nfc",),
        facts=(("attempt", "1"), ("effect", "read")),
        attempt=3,
        connection=connection,
        request=f'"{number}"',
        key=key,
        at=Instant(NOW + number),
        until=Instant(NOW + number + 30_000_000),
        instead="ask for less",
    )


def outcome(
    of: StoredAction, after: ActionState = ActionState.SUCCEEDED, *, answer: bytes | None = b"\x00answer\xff"
) -> OutcomeChange:
    return OutcomeChange(
        id=of.id,
        before=of.state,
        after=after,
        finished=Instant(NOW + 77),
        answer=answer,
        answer_digest=digest("answer"),
        released=True,
        note="took 3 ms",
    )


def finished(of: StoredAction, change: OutcomeChange) -> StoredAction:
    return replace(
        of,
        state=change.after,
        finished=change.finished,
        answer=change.answer,
        answer_digest=change.answer_digest,
        released=change.released,
        note=change.note,
    )


def opening(*heads: str) -> WriterStarted:
    return WriterStarted(heads=heads, checkpoint_size=0, checkpoint_root=digest(""), software="test 1")


def decided(of: StoredAction) -> ActionDecided:
    return ActionDecided(
        action=of.id,
        task=of.task,
        agent=of.agent,
        tool=of.tool,
        server=of.server,
        definition=of.definition,
        digest=of.digest,
        act_key=of.act_key,
        decision=of.decision,
        reasons=(),
        grant=of.grant,
        policies=of.policies,
        bundle=of.bundle,
        scope=of.scope,
        attempt=of.attempt,
    )


def event(number: int) -> CheckpointSigned:
    return CheckpointSigned(origin="log", size=number, root=digest(number), key="00")


def open_chain(store: Store, writer: str = WRITER, *heads: str) -> None:
    append(store, opening(*heads), writer=writer)


def append(store: Store, *events: Event, writer: str = WRITER, at: int = NOW) -> tuple[bytes, ...]:
    return store.write(lambda tx: tx.audit.append(SPACE, writer, events, Instant(at)))


def insert(store: Store, *actions: StoredAction) -> None:
    def work(tx: Transaction) -> None:
        tx.actions.insert_actions(actions)

    store.write(work)
