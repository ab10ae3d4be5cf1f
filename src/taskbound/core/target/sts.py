"""An account of AWS as a target: which of its roles are assumed for a credential, and by what policies.

1. A role is of the declared account, which denies its sessions: elsewhere the same name is another role's.
2. A session may do what its kind allows, until its end: the policy of the session says both, and what it
   denies no policy of a resource gives back. AWS itself lets no session end before 15 minutes are over.
3. A kind names actions, `*` at the end alone, and none of services by which another credential is had or a
   denial is taken back.
4. A resource may have places for parameters (`{tenant}`): a value is put there as the text that it is, and no
   `*`, `?` or `$` of it counts.
5. A session has its credential's name, as its name and as a tag that goes with it into whatever role it takes
   next. What denies everything to who has that tag ends it, and no other session of the role.
6. A role takes so many characters of policies. So a session has its room there from before it is made: a
   policy that is as long as its denial, and denies nobody anything.
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
"""The key of a tag that nobody has, as long as `TAG` (rule 6)."""
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
    """Which account, and where AWS is asked.

    Raises:
        BadTargetError: On making one that names none.
    """

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
        """Require the forms that AWS has."""
        for what, form, text in (
            ("an account is 12 digits", _ACCOUNT, self.account),
            ("such a region is none of AWS", _REGION, self.region),
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
        """A role always denies what it is told to."""
        return True

    def arn(self, role: str) -> str:
        """Of a role of this account."""
        return f"arn:{self.partition}:iam::{self.account}:role/{role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One statement: these actions, on these resources."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StsKind:
    """Which role is assumed, and what of it a session may do.

    Raises:
        BadKindError: On making one that rules 1, 3 and 4 don't allow.
    """

    role: str
    """Its name, with its path where it has one."""
    allows: tuple[Allowed, ...]
    given: tuple[str, ...] = ()
    """The parameters, sorted; each has a place in a resource."""

    def __post_init__(self) -> None:
        """Require the rules."""
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
        """What is left to who asks, by name and sorted."""
        return self.given

    @property
    def words(self) -> str:
        """In one line for people."""
        said = "; ".join(
            f"{', '.join(one.actions)} on {', '.join(map(escape_text, one.resources))}" for one in self.allows
        )
        return f"as the role `{escape_text(self.role)}`: {said}"


def session_policy(kind: StsKind, context: Mapping[str, str], ends: Instant) -> str:
    """The policy of a session: what it may do, until its end (rules 2 and 4).

    Raises:
        BadKindError: A value is missing or too long, or AWS would not take so much.
    """
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
    """The policy of a role that denies everything to the sessions of this name (rule 5).

    It says in its `Sid` after which instant nothing of the name can be there any more; it denies afterwards
    too, until it is taken away.
    """
    return _denying(TAG, name, until)


def room(name: str, until: Instant) -> str:
    """The policy that holds a role's room for the denial of this name (rule 6)."""
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
    """Host and port."""
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
