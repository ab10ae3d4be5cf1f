"""What the broker mints: it believes the store, and not all of that. It is sent names of rows, and no more.

1. The row is being minted, in this broker's hand, and is what was journaled. What it rests on is read anew
   (`resting`): the target and its kind, the action that asked for it, whatever may stop that, and what people
   signed.
2. It ends no later than the record of its beginning says.
3. For whom it is, and who acts, is the task's: the person who asked for it, and its agent, by the names that
   tokens have (`core.token`).
4. A canary is asked for by nobody, and is one only while its target's test is under way. It lives for a
   minute at most, has no recipient, and has no more than its kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    CredentialState,
    credential_of,
    end_in_target,
    is_canary,
    name_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import SECONDS
from taskbound.core.token import agent_name
from taskbound.core.token import name_of as name_of_whom
from taskbound.core.tool.oauth.exchange import Whom
from taskbound.flows.credential.resting import (
    CredentialAlteredError,
    NotMintableError,
    read_arguments,
    require_action,
    require_in_hand,
    require_journaled,
    require_lifted,
    require_place,
    require_standing,
)
from taskbound.ports.target import MintOrder

if TYPE_CHECKING:
    from taskbound.core.credential import Credential
    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.approval.circle import Proves
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget


CANARY_LIVES: Final = 60
"""Seconds (rule 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mintable:
    """What is to be minted, where, and for whom."""

    row: Credential
    target: StoredTarget
    file: TargetFile
    kind: CredentialKind
    order: MintOrder


def require_mintable(
    snapshot: Snapshot, proves: Proves, namespace: str, credential: str, *, fence: int, now: Instant
) -> Mintable:
    """Go on only with a credential that is to be minted now (rules 1 to 4).

    Args:
        snapshot: One state of the store, read by the broker itself.
        proves: Tells what answers are worth.
        namespace: Whose.
        credential: The row's id.
        fence: Of the lease that the broker was given.
        now: When, by the broker's clock.

    Raises:
        DeniedError: It is not, and why.
    """
    row = snapshot.credentials.credential(namespace, credential)
    if row is None or row.state is not CredentialState.MINTING:
        raise NotMintableError(f"`{credential}` is not being minted")
    now = max(now, row.made)  # a late clock makes nothing younger
    require_in_hand(row, fence, now)
    if row.ends > require_journaled(snapshot, row):  # 2
        raise CredentialAlteredError("the credential is not what the record of its beginning says")
    place = require_place(snapshot, row)
    arguments = read_arguments(row.arguments, place.kind)
    if is_canary(row):
        require_not_stopped(snapshot.revocation.kill_switch(namespace))
        _require_canary(row, place.target, now)
    else:
        action = require_action(snapshot, row, place.kind, row.action)
        if credential_of(action.id) != row.id or action.arguments != row.arguments:
            raise CredentialAlteredError("the credential is not what its action asked for")
        asked = arguments.get(SECONDS, place.kind.seconds)
        require_standing(snapshot, row, place.kind, asked=asked, ends=row.ends, now=now)
        require_lifted(snapshot, proves, action, now)
    order = MintOrder(
        name=name_of(snapshot.targets.mark(), row.id),
        ends=end_in_target(row.ends),
        context={name: str(arguments[name]) for name in place.kind.parameters},
        whom=None if is_canary(row) else _whom(snapshot, row),
    )
    return Mintable(row=row, target=place.target, file=place.file, kind=place.kind, order=order)


def _whom(snapshot: Snapshot, row: Credential) -> Whom:
    """For whom it is (rule 3).

    Raises:
        NotMintableError: There is no such task.
    """
    task = snapshot.tasks.task(row.namespace, row.task)
    if task is None:
        raise NotMintableError(f"there is no task `{row.task}`")
    subject = name_of_whom("person", row.namespace, task.requester)
    return Whom(subject=subject, actor=agent_name(row.namespace, row.agent), task=row.task)


def _require_canary(row: Credential, target: StoredTarget, now: Instant) -> None:
    """Go on only with a canary of a test that is under way (rule 4).

    Raises:
        CredentialAlteredError: It is none.
    """
    begun = target.begun
    under_test = begun is not None and (target.tested is None or target.tested < begun)
    if row.task or row.agent or row.recipient or not under_test or row.made != begun:
        raise CredentialAlteredError("the credential is nobody's, and no canary of a test that is under way")
    if row.ends > now + seconds(CANARY_LIVES):
        raise CredentialAlteredError("the canary would live for longer than any does")
