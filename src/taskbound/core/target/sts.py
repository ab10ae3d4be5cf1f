"""An AWS account as a target: which roles are assumed for a credential, and with which session policies.

1. A role belongs to the declared account, where its sessions can be denied.
2. The session policy allows the kind's actions until the credential's end, and its denials override policies
   of resources. AWS itself ends no session before 15 minutes.
3. A kind names actions, with `*` only at the end, and none of services that give another credential or lift a
   denial.
4. A resource may contain parameters (`{tenant}`); `*`, `?` and `$` in a value are literal.
5. A session's name and a transitive tag are the credential's name. A denial for that tag ends the session,
   also in roles that it assumes next, and no other session of the role.
6. A role has limited room for policies. So before a session is made, a policy of the same length that denies
   nothing reserves room for its denial.
"""

from __future__ import annotations

import re
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.text import escape_text
from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.kind import MAX_PARAMETER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.clock import Instant


TAG: Final = "taskbound-credential"
"""The key of the tag that has a credential's name (rule 5)."""
MOST_STATEMENTS: Final = 16
MOST_ACTIONS: Final = 64
MOST_RESOURCES: Final = 32
_ROOM: Final = "taskbound-room-taken"
"""The key of an unused tag, as long as `TAG` (rule 6)."""
_MOST_PARAMETERS: Final = 16
_MOST_POLICY: Final = 2_048
"""Characters that AWS takes for the policy of a session."""
_SHOWN: Final = 80
_PORTS: Final = range(1, 65_536)
_PORT: Final = 443
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_DOMAINS: Final = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}
"""By partition: where its services are."""
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}")
_ROLE: Final = re.compile(r"(?:[A-Za-z0-9+=,.@_-]{1,64}/){0,7}[A-Za-z0-9+=,.@_-]{1,64}")
_ACTION: Final = re.compile(r"([a-z0-9-]{1,40}):[A-Za-z]{0,60}\*?")
_RESOURCE: Final = re.compile(r"\*|arn:[A-Za-z0-9-]{1,20}:[\x21-\x7e]{1,600}")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_URL: Final = re.compile(r"https://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::([0-9]{1,5}))?")
_NEAR: Final = re.compile(r"http://(127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}):([0-9]{1,5})")
_AUTHORITIES: Final = frozenset(
    {
        "account",
        "cognito-identity",
        "iam",
        "identitystore",
        "organizations",
        "rolesanywhere",
        "sso",
        "sso-directory",
        "sts",
    }
)
"""Services that give credentials, or rights (rule 3)."""
_QUOTED: Final = str.maketrans({"*": "${*}", "?": "${?}", "$": "${$}"})
_VERSION: Final = "2012-10-17"


@dataclass(frozen=True, slots=True, kw_only=True)
class StsPlace:
    """The account and the STS endpoint. Raises BadTargetError if not valid."""

    account: str
    """12 digits: the account of all its roles (rule 1)."""
    region: str
    partition: str = "aws"
    sts: str = ""
    """`https://HOST` of another STS, as of one's own network; empty for AWS' own."""
    iam: str = ""
    """As `sts`, of IAM."""
    host: str = field(init=False)
    """Of STS."""
    port: int = field(init=False)

    def __post_init__(self) -> None:
        for what, form, text in (
            ("an account is 12 digits", _ACCOUNT, self.account),
            ("that is not a region of AWS", _REGION, self.region),
        ):
            if form.fullmatch(text) is None:
                raise BadTargetError(f"{what}: `{escape_text(text[:_SHOWN])}`")
        if self.partition not in _DOMAINS:
            raise BadTargetError(f"a partition is one of {', '.join(_DOMAINS)}")
        own = f"https://sts.{self.region}.{_DOMAINS[self.partition]}"
        host, port = _endpoint(self.sts or own)
        if self.iam:
            _endpoint(self.iam)
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "port", port)

    @property
    def revocable(self) -> bool:
        return True

    def arn(self, role: str) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One statement: these actions on these resources."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StsKind:
    """The assumed role and what a session may do. Raises BadKindError by rules 1, 3 and 4."""

    role: str
    """Its name, with its path where it has one."""
    allows: tuple[Allowed, ...]
    given: tuple[str, ...] = ()
    """The parameters, sorted; each has a place in a resource."""

    def __post_init__(self) -> None:
        if _ROLE.fullmatch(self.role) is None:
            raise BadKindError(f"`{escape_text(self.role[:_SHOWN])}` can't name a role")
        if not 1 <= len(self.allows) <= MOST_STATEMENTS:
            raise BadKindError(f"a kind allows something, by {MOST_STATEMENTS} statements at most")
        for one in self.allows:
            _require_actions(one.actions)
            _require_resources(one.resources)
        if list(self.given) != sorted(set(self.given)) or len(self.given) > _MOST_PARAMETERS:
            raise BadKindError(f"parameters are sorted, each said once, {_MOST_PARAMETERS} at most")
        if any(_PARAMETER.fullmatch(one) is None for one in self.given):
            raise BadKindError("a parameter is a-z, 0-9 and `_`, and begins with a letter")
        places = {name for one in self.allows for text in one.resources for name in _PLACE.findall(text)}
        if places != set(self.given):
            raise BadKindError(
                "each parameter has a place in a resource, `{NAME}`, and each place a parameter"
            )
        if len(_policy(self, dict.fromkeys(self.given, ""), "0000-00-00T00:00:00Z")) > _MOST_POLICY:
            raise BadKindError(f"what it allows is more than the {_MOST_POLICY:,} characters that AWS takes")

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.given

    @property
    def words(self) -> str:
        said = "; ".join(
            f"{', '.join(one.actions)} on {', '.join(map(escape_text, one.resources))}" for one in self.allows
        )
        return f"as the role `{escape_text(self.role)}`: {said}"


def session_policy(kind: StsKind, context: Mapping[str, str], ends: Instant) -> str:
    """Returns the session policy; raises BadKindError for a bad value or if the policy is too long."""
    if context.keys() != set(kind.given):
        raise BadKindError("the values are not those of the kind's parameters")
    if any(not 1 <= len(one) <= MAX_PARAMETER or not one.isprintable() for one in context.values()):
        raise BadKindError("a value is a printable text of 256 characters at most")
    text = _policy(kind, {name: one.translate(_QUOTED) for name, one in context.items()}, _date(ends))
    if len(text) > _MOST_POLICY:
        raise BadKindError(
            f"with these values it is more than the {_MOST_POLICY:,} characters that AWS takes"
        )
    return text


def denial(name: str, until: Instant) -> str:
    """Returns the role policy that denies this name's sessions until the policy is removed (rule 5)."""
    return _denying(TAG, name, until)


def room(name: str, until: Instant) -> str:
    """Returns the policy that reserves a role's room for the denial of this name (rule 6)."""
    return _denying(_ROOM, name, until)


def _denying(tag: str, name: str, until: Instant) -> str:
    return canonical(
        {
            "Statement": [
                {
                    "Action": "*",
                    "Condition": {"StringEquals": {f"aws:PrincipalTag/{tag}": name}},
                    "Effect": "Deny",
                    "Resource": "*",
                    "Sid": f"until{until // seconds(1)}",
                }
            ],
            "Version": _VERSION,
        }
    ).decode()


def _policy(kind: StsKind, values: Mapping[str, str], end: str) -> str:
    allowed: list[JsonValue] = [
        {
            "Action": list(one.actions),
            "Effect": "Allow",
            "Resource": [_PLACE.sub(lambda found: values[found[1]], text) for text in one.resources],
        }
        for one in kind.allows
    ]
    over: JsonValue = {
        "Action": "*",
        "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": end}},
        "Effect": "Deny",
        "Resource": "*",
    }
    return canonical({"Statement": [*allowed, over], "Version": _VERSION}).decode()


def _require_actions(actions: tuple[str, ...]) -> None:
    if not 1 <= len(actions) <= MOST_ACTIONS or len(set(actions)) != len(actions):
        raise BadKindError(f"a statement has 1 to {MOST_ACTIONS} actions, each once")
    for one in actions:
        found = _ACTION.fullmatch(one)
        if found is None or one.endswith(":"):
            raise BadKindError(
                f"`{escape_text(one[:_SHOWN])}` is no action: it is `SERVICE:NAME`, with `*` at its end alone"
            )
        if found[1] in _AUTHORITIES:
            raise BadKindError(
                f"`{found[1]}` gives credentials or rights: no credential may have its actions"
            )  # 3


def _require_resources(resources: tuple[str, ...]) -> None:
    if not 1 <= len(resources) <= MOST_RESOURCES or len(set(resources)) != len(resources):
        raise BadKindError(f"a statement has 1 to {MOST_RESOURCES} resources, each once")
    for one in resources:
        if _RESOURCE.fullmatch(one) is None:
            raise BadKindError(f"`{escape_text(one[:_SHOWN])}` is no resource: it is an ARN, or `*`")
        if "$" in one or set("{}") & set(_PLACE.sub("", one)):
            raise BadKindError("a resource has places for parameters, `{NAME}`, and no variables of AWS")  # 4


def _endpoint(url: str) -> tuple[str, int]:
    found = _URL.fullmatch(url) or _NEAR.fullmatch(url)
    port = int(found[2] or _PORT) if found else 0
    if found is None or port not in _PORTS:
        raise BadTargetError(
            f"`{escape_text(url[:_SHOWN])}` is no endpoint: it is `https://HOST`",
            remedy="leave it out for AWS' own; `http` is for this machine's own loopback alone",
        )
    return found[1], port


def _date(instant: Instant) -> str:
    return datetime.fromtimestamp(instant // seconds(1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
