"""Comparing credentials with the log: for whom each is, where it stands, and when it ends.

1. The broker does not revoke what a row says is revoked, or what is never due: it would live in its target
   until it ends there by itself.
2. A credential that is over as its records say is forgotten, so that memory grows with what lives.
3. Not compared, as no record holds them: the lease, the attempts to revoke it, and the words of a trouble.
   What was asked for is compared as the arguments of its action.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.credential import (
    CredentialJournaled,
    CredentialMoved,
    CredentialProlonged,
)
from taskbound.core.credential import NEVER, CredentialEvent, CredentialState, RenewalState
from taskbound.core.dataclass import dataclass
from taskbound.flows.audit.compared import Told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.credential import Credential
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot


_PAGE: Final = 500
_OVER: Final = frozenset({CredentialState.REVOKED.value, CredentialState.UNSUPPORTED.value})
_RENEWED: Final = {
    CredentialEvent.RENEW.value: RenewalState.DONE,
    CredentialEvent.KEEP.value: RenewalState.FAILED,
    CredentialEvent.END.value: RenewalState.FAILED,
}


@dataclass(slots=True)
class CredentialLedger:
    """What the log says of credentials."""

    snapshot: Snapshot
    told: Told = field(default_factory=lambda: Told("credential", "written down"))
    spaces: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        match record.event:
            case CredentialJournaled() as event:
                self.spaces.add(space)
                self.told.put(space, event.credential, **_journaled(event))
            case CredentialProlonged() as event:
                renewal = (event.action, event.ends, RenewalState.WANTED)
                self.told.change(space, event.credential, renewal=renewal)
            case CredentialMoved() as event:
                self.spaces.add(space)
                self._move(space, event)
            case _:
                pass

    def _move(self, space: str, event: CredentialMoved) -> None:
        name = event.credential
        if (space, name) not in self.told.rows:
            if event.before and event.before not in _OVER:  # neither found by a sweep nor forgotten (rule 2)
                self.words.append(f"credential {name} was moved, and no record says that it was written down")
            self.told.put(space, name, target=event.target, task=event.task)
        known = self.told.rows[space, name]
        known |= {"state": event.after, "reason to end": event.why}
        if event.until:
            known["end"] = event.until
        if event.event == CredentialEvent.ACKNOWLEDGE.value:
            known["acknowledgement"] = True
        renewal = known.get("renewal")
        if isinstance(renewal, tuple) and renewal[2] is RenewalState.WANTED and event.event in _RENEWED:
            known["renewal"] = (*renewal[:2], _RENEWED[event.event])
        if event.after in _OVER:
            row = self.snapshot.credentials.credential(space, name)
            known.pop("turn", None)  # whether it is looked at once more, no record says
            if row is not None and self.told.agrees(space, name, _fields(row)):
                self.told.drop(space, name)
        else:
            known["turn"] = True

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        yield from self.words
        for space in sorted(self.spaces | {one.namespace for one in self.snapshot.targets.all_targets()}):
            yield from self.told.against(space, dict(self._rows(space)))

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self.snapshot.credentials.credentials(space, limit=_PAGE, before=before):
            for one in page:
                if one.state.value not in _OVER or (space, one.id) in self.told.rows:
                    yield one.id, _fields(one)
            before = page[-1].id


def _journaled(event: CredentialJournaled) -> Fields:
    return {
        "target": event.target,
        "kind": event.of,
        "identity of its target": event.identity,
        "task": event.task,
        "agent": event.agent,
        "action": event.action,
        "recipient": event.recipient,
        "state": CredentialState.JOURNALED.value,
        "end": event.ends,
        "acknowledgement": False,
        "renewal": None,
        "reason to end": "",
        "turn": True,
    }


def _fields(row: Credential) -> Fields:
    renewal = row.renewal
    ends_before = row.due > row.ends and row.state in {CredentialState.JOURNALED, CredentialState.ACTIVE}
    return {
        "target": row.target,
        "kind": row.kind,
        "identity of its target": row.identity,
        "task": row.task,
        "agent": row.agent,
        "action": row.action,
        "recipient": row.recipient,
        "state": row.state.value,
        "end": row.ends,
        "acknowledgement": row.acknowledged,
        "renewal": None if renewal is None else (renewal.action, renewal.ends, renewal.state),
        "reason to end": row.why,
        "turn": row.due != NEVER and not ends_before,  # 1
    }
