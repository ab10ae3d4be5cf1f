"""A scripted daemon that permits credentials and hands out what a test has minted, sealed as the broker does.

async with HandingDaemon(tmp_path / "d.sock") as daemon:
    ... something asks on daemon.path for `orders-db__credential/reader` ...
    assert daemon.states == {"crd_1": "revoked"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from taskbound.adapters.keys.sealing import hand
from taskbound.ports.target import Minted
from taskbound.wire.action import Decide
from taskbound.wire.connection import Done, Fault
from taskbound.wire.target import (
    AcknowledgeCredential,
    AwaitRenewal,
    CredentialRow,
    EndCredential,
    Handed,
    KindRow,
    ListTargets,
    Renewed,
    ShowCredential,
    TakeCredential,
    TargetRow,
    TargetRows,
)
from taskbound.wire.tool import ReachTools, ToolRow, ToolRows
from tests.peers.daemon import FAR, ScriptedDaemon

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.envelope import Answer


CANARY = "kanarienvogel-9f8e7d6c"
"""The secret of everything that is minted here."""


@dataclass(slots=True)
class _Made:
    """One credential of the daemon's."""

    decided: Decide
    target: str
    kind: str
    state: str = "minting"
    acknowledged: bool = False
    open: dict[str, str] = field(default_factory=lambda: {"PGHOST": "db.example", "PGUSER": "tb_x"})
    secret: dict[str, str] = field(default_factory=lambda: {"PGPASSWORD": CANARY})


def target_row(name: str = "orders-db", **changes: object) -> TargetRow:
    """A target that is ready, with the kind `reader`."""
    kind = KindRow(
        name="reader", tool=f"{name}__credential/reader", description="reads", seconds=600, effect="read"
    )
    row = TargetRow(
        name=name,
        kind="postgres",
        where=msgspec.Raw(b'{"database":"orders","host":"/run"}'),
        owner="ann",
        approvers=("ann",),
        identity="0" * 64,
        state="ready",
        number=1,
        kinds=(kind,),
        revocable=True,
    )
    return msgspec.structs.replace(row, **changes)


def _tool(kind: str) -> ToolRow:
    return ToolRow(
        name=f"orders-db__credential/{kind}",
        server="0" * 64,
        definition="0" * 64,
        state="pinned",
        effect="read",
        raw=msgspec.Raw(b"{}"),
    )


class HandingDaemon(ScriptedDaemon):
    """Permits every credential, hands it out, and revokes it at once when it is ended."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.targets = [target_row()]
        self.ends = FAR
        self.renewed = FAR
        """When what is renewed ends from then on."""
        self.variables: list[tuple[dict[str, str], dict[str, str]]] = []
        """What the next ones are, open and secret; the usual when there is nothing."""
        self.made: dict[str, _Made] = {}
        self.revokes = True
        """Whether what is ended is gone at once."""
        self.on[Decide] = self._decided
        self.on[TakeCredential] = self.hand_out
        self.on[AcknowledgeCredential] = self._acknowledged
        self.on[EndCredential] = self._ended
        self.on[AwaitRenewal] = lambda ask: Renewed(credential=ask.credential, ends=self.renewed)
        self.on[ShowCredential] = self._shown
        self.kinds = ["reader"]
        """What the task may have of `orders-db`."""
        self.on[ReachTools] = lambda ask: ToolRows(
            rows=tuple(map(_tool, self.kinds)) if ask.target == "orders-db" else ()
        )
        self.on[ListTargets] = lambda ask: TargetRows(
            rows=tuple(one for one in self.targets if ask.name in {"", one.name}), broker=True
        )

    @property
    def states(self) -> dict[str, str]:
        """How each credential stands."""
        return {name: one.state for name, one in self.made.items()}

    def permit_credential(self, ask: Decide) -> Answer:
        """The permit of one, whose row is there now."""
        name = f"crd_{len(self.made) + 1}"
        target, _, kind = ask.tool.partition("__credential/")
        made = _Made(ask, target, kind)
        if self.variables:
            made.open, made.secret = self.variables.pop(0)
        self.made[name] = made
        return self.permit(ask, credential=name)

    def _decided(self, ask: Decide) -> Answer:
        renews = json.loads(bytes(ask.arguments)).get("renews")
        if renews is not None:
            return self.permit(ask, credential=renews)
        return self.permit_credential(ask)

    def hand_out(self, ask: TakeCredential) -> Handed:
        """What was minted, sealed to whoever asked."""
        made = self.made[ask.credential]
        made.state = "active"
        sealed = hand(
            Minted(open=made.open, secret=made.secret),
            public=made.decided.recipient,
            namespace="default",
            target=made.target,
            credential=ask.credential,
        )
        return Handed(credential=ask.credential, sealed=sealed, ends=self.ends)

    def _acknowledged(self, ask: AcknowledgeCredential) -> Answer:
        self.made[ask.credential].acknowledged = True
        return Done()

    def _ended(self, ask: EndCredential) -> Answer:
        self.made[ask.credential].state = "revoked" if self.revokes else "revoking"
        return self._shown(ask)

    def _shown(self, ask: ShowCredential | EndCredential) -> Answer:
        made = self.made.get(ask.credential)
        if made is None:
            return Fault(code="unknown-credential", message="there is no such one")
        return CredentialRow(
            id=ask.credential,
            name=f"tb_{ask.credential}",
            target=made.target,
            kind=made.kind,
            state=made.state,  # type: ignore[arg-type]  # a test may have any
            task=self.task,
            agent="helper",
            action="act_1",
            arguments=made.decided.arguments,
            made=1,
            ends=self.ends,
            acknowledged=made.acknowledged,
        )
