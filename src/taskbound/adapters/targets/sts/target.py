"""An account of AWS as `ports.target.Target`: sessions of a role, which ends them by the tag that they have.

1. AWS shows no session: a mint asks who the admin is, whether any role has a policy of the name already, and
   then once for a session under it, with the policy that ends it (`core.target.sts`). A kill between leaves a
   session that nobody has, and whose name is known.
2. An end writes a policy of the name's own at each role of the target's kinds, as a name does not say which
   one it was of, and reads it back. More there is not to be seen: AWS says of itself that it takes seconds
   until a policy counts everywhere.
3. A role has room for some fifty denials. So one stands as long as its session could act: that is until the
   end that is in the session's own policy, whoever made it and however late, though AWS keeps the session.
   Each role has its room for that before the session is asked for, or it isn't: else whoever asks for
   credentials and gives them back keeps the ends of all others away. Where there is no room nevertheless,
   what its policy has ended is left at that; whether it has is this machine's clock to say, so that alone
   keeps no denial away.
4. What is looked for is the denial: where that stands nothing of the name can act, where it doesn't it may.
5. A sweep can name no session. It takes denials away that deny nobody any more, some minutes after.
6. Nobody moves an end: it stands in the policy that the session has.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.targets.alone import UnderWay
from taskbound.adapters.targets.sts.link import AbsentError, Aws, FullError
from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.errors import MalformedError
from taskbound.core.target.sts import TAG, denial, room, session_policy
from taskbound.ports.target import (
    Gone,
    Left,
    Minted,
    NameTakenError,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from taskbound.adapters.targets.sts.link import Asking
    from taskbound.core.target import StsAccess, StsKind, StsPlace
    from taskbound.ports.target import MintOrder


_LEAST: Final = 900
"""Seconds that AWS lets a session be there at least."""
_MOST: Final = 43_200
_SKEW: Final = minutes(1)
"""By how much the clock here may be ahead of AWS'."""
_AFTER: Final = minutes(5)
"""How long a denial stands after nothing of its name could act any more (rule 5)."""
_UNTIL: Final = re.compile(r"until([0-9]{1,12})")


class StsTarget:
    """One account with its admin access (`ports.target.Target`)."""

    def __init__(self, place: StsPlace, access: StsAccess, kinds: Collection[StsKind]) -> None:
        """Speak to AWS as the admin, of the roles of all kinds that the target's file has."""
        self._place = place
        self._aws = Aws(place, access.key, access.secret)
        self._roles = sorted({one.role for one in kinds})
        self._under_way = UnderWay()

    def mint(self, order: MintOrder, kind: StsKind, *, patience: float) -> Minted:
        """A session of the role (rule 1)."""
        try:
            policy = session_policy(kind, order.context, order.ends)
        except MalformedError as error:
            raise TargetRefusedError(error.message, remedy=error.advice) from None
        left = int((order.ends - _now()) // seconds(1))
        if left < 1:
            raise TargetRefusedError("its end is over before it is made")
        with self._under_way.alone(order.name), self._aws.asked(patience) as aws:
            self._require_account(aws)
            if any(self._standing(aws, role, order.name) is not None for role in self._roles):
                raise NameTakenError("a role has a policy of the name already")
            self._require_room(aws, order)
            found = self._found(
                aws,
                "sts",
                "AssumeRole",
                RoleArn=self._place.arn(kind.role),
                RoleSessionName=order.name,
                DurationSeconds=min(max(left, _LEAST), _MOST),
                Policy=policy,
                Tags=[{"Key": TAG, "Value": order.name}],
                TransitiveTagKeys=[TAG],
            )
        return self._minted(found, order.name)

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        """It ends when its policy says (rule 6)."""
        raise RenewalUnsupportedError("the end of a session stands in the policy that it was made with")

    def use(self, minted: Minted, *, patience: float) -> None:
        """Ask AWS whose session it is."""
        aws = Aws(
            self._place,
            minted.open["AWS_ACCESS_KEY_ID"],
            minted.secret["AWS_SECRET_ACCESS_KEY"],
            minted.secret["AWS_SESSION_TOKEN"],
        )
        with aws.asked(patience) as one:
            found = self._found(one, "sts", "GetCallerIdentity")
        if ":assumed-role/" not in str(found.get("Arn")) or found.get("Account") != self._place.account:
            raise TargetRefusedError("AWS knows the session as another one than was made")

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | Left:
        """Have each role deny the name, and read that back (rules 2 and 3)."""
        until = Instant(max(ends, _now()) + _SKEW)  # 3
        with self._aws.asked(patience) as aws:
            for role in self._roles:
                if self._denial(aws, role, name) is None and not self._put(
                    aws, role, name, denial(name, until)
                ):
                    return self._full(role, ends)
            if any(self._denial(aws, role, name) is None for role in self._roles):
                raise TargetUnavailableError("AWS does not show yet that the role denies the name")
        return Gone(cut=0, notes=(f"denied by {len(self._roles)} roles, by the tag of its session",))

    def look(self, name: str, *, patience: float) -> Shown:
        """Whether a session of the name could still act (rule 4); how many there are AWS doesn't say."""
        with self._aws.asked(patience) as aws:
            return Shown(
                exists=any(self._denial(aws, role, name) is None for role in self._roles),
                open=0,
            )

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        """Nothing: no session can be named. What denies nobody any more is taken away (rule 5)."""
        with self._aws.asked(patience) as aws:
            for role in self._roles:
                for name in self._names(aws, role, prefix):
                    standing = self._standing(aws, role, name)
                    if standing is not None and _now() > standing[0] + _AFTER:
                        aws.ask("iam", "DeleteRolePolicy", RoleName=_last(role), PolicyName=name)
        yield from ()

    def _require_account(self, aws: Asking) -> None:
        """Require the account that was declared: else what is denied would be denied elsewhere.

        Raises:
            TargetUnreachedError: AWS lets nobody in by this key.
        """
        try:
            found = self._found(aws, "sts", "GetCallerIdentity")
        except TargetRefusedError as error:
            raise TargetUnreachedError(error.message, remedy=error.advice) from None
        if found.get("Account") != self._place.account:
            raise TargetUnreachedError(
                f"the admin's key is of another account than {self._place.account}",
                remedy="correct `account` in the target's file, or give the target another key",
            )

    def _require_room(self, aws: Asking, order: MintOrder) -> None:
        """Have room for the denial at each role (rule 3).

        Raises:
            TargetUnreachedError: One has none: no session is asked for.
        """
        text = room(order.name, Instant(order.ends + _SKEW))
        for number, role in enumerate(self._roles):
            if self._put(aws, role, order.name, text):
                continue
            for one in self._roles[:number]:
                aws.ask("iam", "DeleteRolePolicy", RoleName=_last(one), PolicyName=order.name)
            raise TargetUnreachedError(
                f"the role `{role}` has no room for the policy that would end one more session",
                remedy="wait until others are over, let them live shorter, or give agents several roles",
            )

    def _put(self, aws: Asking, role: str, name: str, text: str) -> bool:
        """Give the role this policy of the name; whether it has room for that."""
        try:
            self._found(
                aws,
                "iam",
                "PutRolePolicy",
                RoleName=_last(role),
                PolicyName=name,
                PolicyDocument=text,
            )
        except FullError:
            return False
        return True

    def _full(self, role: str, ends: Instant) -> Left:
        """What is to be said where a role has no room (rule 3).

        Raises:
            TargetUnavailableError: The session may act still.
        """
        if _now() > ends + _SKEW:
            return Left(until=ends)
        raise TargetUnavailableError(
            f"the role `{role}` has no room for one more policy",
            remedy="let its credentials live shorter, or give its agents several roles",
        )

    def _denial(self, aws: Asking, role: str, name: str) -> Instant | None:
        """Until when the role's denial of this name has to stand; None without one. As `_standing`."""
        standing = self._standing(aws, role, name)
        return standing[0] if standing is not None and standing[1] else None

    def _standing(self, aws: Asking, role: str, name: str) -> tuple[Instant, bool] | None:
        """Until when the role's policy of this name has to stand, and whether it denies; None without one.

        Raises:
            TargetUnavailableError: The policy is another one than ours.
        """
        try:
            found = aws.ask("iam", "GetRolePolicy", RoleName=_last(role), PolicyName=name)
        except AbsentError:
            return None
        until = _until(found.get("PolicyDocument"))
        if until is not None and found["PolicyDocument"] == json.loads(denial(name, until)):
            return until, True
        if until is not None and found["PolicyDocument"] == json.loads(room(name, until)):
            return until, False
        raise TargetUnavailableError(f"somebody changed what the role `{role}` denies")

    def _names(self, aws: Asking, role: str, prefix: str) -> list[str]:
        """Names of the role's own policies that begin like this."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._found(aws, "iam", "ListRolePolicies", RoleName=_last(role), MaxItems=1000, **more)
            found += [one for one in page.get("PolicyNames", []) if one.startswith(prefix)]
            if not page.get("IsTruncated"):
                return found
            more = {"Marker": page["Marker"]}

    def _found(self, aws: Asking, service: str, operation: str, **told: object) -> Mapping[str, Any]:
        try:
            return aws.ask(service, operation, **told)
        except AbsentError:
            raise TargetRefusedError(
                f"the account {self._place.account} has no such role",
                remedy="correct `role` in the target's file",
            ) from None

    def _minted(self, found: Mapping[str, Any], name: str) -> Minted:
        given = found.get("Credentials", {})
        texts = [given.get(one) for one in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        whose = str(found.get("AssumedRoleUser", {}).get("Arn", ""))
        if not all(isinstance(one, str) and one for one in texts) or not whose.endswith(f"/{name}"):
            raise TargetUnavailableError("AWS gives a session that is not called as it was asked for")
        key, secret, token = texts
        return Minted(
            open={
                "AWS_ACCESS_KEY_ID": key,
                "AWS_DEFAULT_REGION": self._place.region,
                "AWS_REGION": self._place.region,
            },
            secret={"AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token},
        )


def _last(role: str) -> str:
    """A role's name without its path, by which IAM knows it."""
    return role.rpartition("/")[2]


def _until(document: object) -> Instant | None:
    """What a denial of ours says; None of any other document."""
    try:
        found = _UNTIL.fullmatch(document["Statement"][0]["Sid"])  # type: ignore[index]  # what it isn't raises
    except (KeyError, TypeError, IndexError):
        return None
    return Instant(int(found[1]) * seconds(1)) if found else None


def _now() -> Instant:
    return Instant(int(time.time() * 1_000_000))
