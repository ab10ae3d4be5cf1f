"""Credentials for a program: requested as an action of its task, opened here only, ended after use.

    with Task.join(socket, agent="helper", asker=AskerKey.generate) as task:
        with task.credential("orders-db") as credential:  # or "orders-db", "reader", 300
            psycopg.connect(password=credential.secret["PGPASSWORD"], …)

1. A request is the action `TARGET__credential/KIND`, on a connection in the role of a gateway.
2. Each request has a new key. The `Asker` opens the secret, so other programs load no cryptography.
3. A held request waits while the approval is open, and is then repeated with the held action's id; a
   narrower action is requested as it is. The daemon is also polled, since a push can be lost.
4. A credential is acknowledged before the caller gets it; one that can't be opened is never acknowledged,
   and so revoked.
5. A renewal is an action too, has no secret, and waits until its target extended the credential.
6. If the end can't be reported an error is raised: the credential may live until its own end or its task's.
   Unless it is lasting, it also ends five seconds after the connection is lost, if the same daemon runs.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import msgspec

from taskbound import __version__
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.tool.name import credential_kind, shown
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.sdk.wish import Asker, BadWishError, CredentialWish, TaskCredential
from taskbound.wire.action import Decide, Narrowed, Permitted, Refused
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import Bind, Bound, Done, Fault, Open
from taskbound.wire.target import (
    AcknowledgeCredential,
    AwaitRenewal,
    CredentialRow,
    EndCredential,
    Handed,
    Renewed,
    TakeCredential,
)
from taskbound.wire.tool import ReachTools, ToolRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.wire.envelope import Answer, Push, Reply


_LOOK: Final = 5.0
"""Seconds after which the daemon is asked though it said nothing (rule 3)."""
_WAIT: Final = 45
"""Seconds that the caller waits, as stated with each question to the daemon."""
_MINTED: Final = 60.0
"""Seconds until a permitted credential must exist; the daemon reports failures earlier."""
_TAKEN: Final = 15.0
"""Seconds that one question may wait: more than the daemon allows."""
_MINTING: Final = "still-minting"
_RENEWING: Final = "still-renewing"
_PAUSE: Final = 0.2
_OVER: Final = {
    "denied": "do something else; do not ask for the same again",
    "expired": "ask again, if it is still needed: people are asked anew",
    "withdrawn": "do not ask again; ask the person who opened the task",
}
_INSTEAD: Final = {"unknown-tool": "look at `taskbound target list`: what is not ready gives nothing"}
"""Remedies for a credential request, where the daemon's are for a tool call."""
_GONE: Final = frozenset({"revoked", "unsupported"})


class CredentialDeniedError(DeniedError):
    """The task does not get the credential; `refused` has the daemon's answer."""

    code = "credential-denied"

    def __init__(
        self, refused: Refused, tool: str, *, code: str = "", why: str = "", remedy: str = ""
    ) -> None:
        self.refused = refused
        reasons = why or "; ".join(one.text for one in refused.reasons)
        said = f": {reasons}" if reasons else ""
        super().__init__(
            f"`{tool}` is refused{said} [{code or refused.code}]",
            remedy=remedy or _INSTEAD.get(code or refused.code, refused.instead),
        )


class OtherTaskBoundError(DeniedError):
    """The process belongs to another task than the named one."""

    code = "other-task-bound"
    remedy = "end the agent's other tasks, or start the program beneath `taskbound run`"


@dataclass(slots=True, kw_only=True)
class _Asked:
    wish: CredentialWish
    recipient: str
    number: int
    arguments: bytes
    resume: str = ""
    """The held action."""
    told: bool = False
    """Whether it was said that people have to be asked."""


def ignore_hold(_: Refused) -> None:
    pass


class Task:
    """A connection that belongs to a task, and the credentials requested on it."""

    def __init__(self, client: Client, *, namespace: str, task: str, asker: Callable[[], Asker]) -> None:
        """Binds an open gateway connection to its task; an empty `task` leaves the choice to the daemon."""
        self.client = client
        self._namespace = namespace
        self._asker = asker
        self._asked = 0
        bound = client.ask(Bind(), Bound)
        if task not in {"", bound.task}:
            raise OtherTaskBoundError(
                f"this process belongs to the task `{bound.task}`, and not to the one named"
            )
        self.id = bound.task
        self.deadline = bound.deadline
        self.heard: list[Push] = []
        """What the daemon said unasked while people were waited for, their answers apart."""

    @classmethod
    def join(
        cls,
        socket: Path,
        *,
        agent: str,
        asker: Callable[[], Asker],
        task: str = "",
        namespace: str = "default",
        resume: str = "",
    ) -> Task:
        """Connects for a task of this agent; `resume`: secret of a connection lost just now, to resume it."""
        hello = Open(
            role="gateway",
            version=__version__,
            namespace=namespace,
            agent=agent,
            task=task,
            resume=resume,
        )
        client = Client(socket, hello)
        try:
            return cls(client, namespace=namespace, task=task, asker=asker)
        except BaseException:
            client.close()
            raise

    @contextmanager
    def credential(
        self, target: str, kind: str = "", /, seconds: int = 0, **parameters: str
    ) -> Iterator[TaskCredential]:
        """Holds a credential while the context lasts (rule 6); 0 seconds mean the kind's maximum."""
        wish = CredentialWish(
            target=target, kind=kind or self._kind_of(target), seconds=seconds, parameters=parameters
        )
        found = self.obtain(wish)
        try:
            yield found
        except BaseException as error:
            try:
                self.end(found.id)
            except TaskboundError as other:
                error.add_note(f"and the credential `{found.id}` could not be ended: {other}")
            raise
        self.end(found.id)

    def _kind_of(self, target: str) -> str:
        named = [
            credential_kind(one.name) for one in self.client.ask(ReachTools(target=target), ToolRows).rows
        ]
        kinds = [one[1] for one in named if one is not None]
        if len(kinds) != 1:
            several = f"the kinds {', '.join(kinds)}" if kinds else "no kind of credential"
            raise BadWishError(
                f"this task may have {several} of `{shown(target)}`", remedy="name a kind that it may have"
            )
        return kinds[0]

    def obtain(
        self, wish: CredentialWish, held: Callable[[Refused], None] = ignore_hold, *, lasting: bool = False
    ) -> TaskCredential:
        """Returns an opened credential, which the caller must end; `lasting`: outlives the connection."""
        key = self._asker()  # 2
        permitted = self._permitted(wish, key.public, held)
        if not permitted.credential:
            raise MalformedError(f"the daemon permitted `{wish.tool}`, and names no credential")
        handed = self._handed(permitted.credential)
        try:
            opened = key.open(
                handed.sealed,
                namespace=self._namespace,
                target=wish.target,
                credential=permitted.credential,
            )
        except TaskboundError:
            self._give_back(permitted.credential)
            raise
        said = AcknowledgeCredential(credential=permitted.credential, with_connection=not lasting)
        self.client.ask(said, Done)  # 4
        return TaskCredential(
            id=permitted.credential,
            target=wish.target,
            kind=wish.kind,
            ends=handed.ends,
            open=dict(opened.open),
            secret=dict(opened.secret),
            parameters=dict(wish.parameters),
            renewer=self.renew,
        )

    def renew(
        self, credential: TaskCredential, seconds: int = 0, held: Callable[[Refused], None] = ignore_hold
    ) -> TaskCredential:
        """Returns the extended credential (rule 5); `seconds` counts from now, 0 for the kind's maximum."""
        self._permitted(credential.renewed_for(seconds), "", held)
        end = time.monotonic() + _MINTED
        while True:
            try:
                found = self.client.ask(AwaitRenewal(credential=credential.id), Renewed, patience=_TAKEN)
            except RefusedByDaemonError as error:
                if error.fault.code != _RENEWING or time.monotonic() >= end:
                    raise
            else:
                return replace(credential, ends=found.ends)

    def end(self, credential: str) -> CredentialRow:
        """Requests revocation and returns the credential's state; idempotent (rule 6)."""
        return self.client.ask(EndCredential(credential=credential), CredentialRow)

    def gone(self, credential: str, *, patience: float) -> CredentialRow:
        """Ends it and waits up to `patience` seconds until its target shows that it is gone (rule 6)."""
        end = time.monotonic() + patience
        while True:
            row = self.end(credential)
            if row.state in _GONE or time.monotonic() >= end:
                return row
            time.sleep(_PAUSE)

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _permitted(self, wish: CredentialWish, recipient: str, held: Callable[[Refused], None]) -> Permitted:
        """Returns the permit (rule 3); an interrupted wait withdraws the question."""
        self._asked += 1
        asked = _Asked(wish=wish, recipient=recipient, number=self._asked, arguments=wish.arguments)
        try:
            while True:
                answer = self._decided(asked)
                if isinstance(answer, Permitted):
                    return answer
                if isinstance(answer, Narrowed):
                    asked.arguments, asked.resume = bytes(answer.arguments), answer.action
                    continue
                refused = _require_held(answer, wish)
                asked.resume = refused.action
                if not asked.told:
                    asked.told = True
                    held(refused)
                self._wait(asked, refused)
        except TaskboundError:
            raise
        except BaseException:
            if asked.resume:
                self._leave(asked.resume)
            raise

    def _wait(self, asked: _Asked, refused: Refused) -> None:
        over = self._answered(refused.action)
        if over is None:
            return
        if over.state == "superseded":
            asked.resume = ""  # it was narrowed, and asked for as it was made, the narrower one is the answer
        elif over.state in _OVER:
            why = over.reason or f"the question is {over.state}"
            code = "approval-denied" if over.state == "denied" else "hold-over"
            raise CredentialDeniedError(
                refused, asked.wish.tool, code=code, why=why, remedy=_OVER[over.state]
            )

    def _handed(self, credential: str) -> Handed:
        end = time.monotonic() + _MINTED
        while True:
            try:
                return self.client.ask(TakeCredential(credential=credential), Handed, patience=_TAKEN)
            except RefusedByDaemonError as error:
                if error.fault.code != _MINTING or time.monotonic() >= end:
                    raise

    def _decided(self, asked: _Asked) -> Answer:
        return self.client.ask_any(
            Decide(
                tool=asked.wish.tool,
                arguments=msgspec.Raw(asked.arguments),
                request=f'"credential-{asked.number}"',
                resume=asked.resume,
                wait=_WAIT,
                recipient=asked.recipient,
            )
        )

    def _answered(self, action: str) -> HoldPush | None:
        end = time.monotonic() + _LOOK
        replies: tuple[Reply, ...] = self.client.kept()
        while True:
            found = None
            for one in replies:
                if isinstance(one.push, HoldPush):
                    found = one.push if one.push.action == action else found
                elif one.push is not None:
                    self.heard.append(one.push)
            if found is not None:
                return found
            left = end - time.monotonic()
            if left <= 0 or not self.client.is_readable(left):
                return None
            replies = self.client.replies()

    def _leave(self, action: str) -> None:
        """Withdraws the question; an unreachable daemon notices the connection's end."""
        try:
            self.client.ask_any(LeaveHold(action=action))
        except TaskboundError:
            return

    def _give_back(self, credential: str) -> None:
        try:
            self.client.ask_any(EndCredential(credential=credential))
        except TaskboundError:
            return


def _require_held(answer: Answer, wish: CredentialWish) -> Refused:
    if isinstance(answer, Fault):
        raise RefusedByDaemonError(answer)
    if not isinstance(answer, Refused):
        raise MalformedError(f"the daemon answered `{type(answer).__name__}` to who asked for a credential")
    if answer.code != "held" or not answer.action:
        raise CredentialDeniedError(answer, wish.tool)
    return answer
