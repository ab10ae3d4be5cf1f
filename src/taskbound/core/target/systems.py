"""The kinds of systems that can be targets: how a target file declares their places and credentials.

An unknown member is refused. An optional member is never written empty; its default stands here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.target.github import ADDRESS, MOST_REPOSITORIES, GithubKind, GithubPlace
from taskbound.core.target.oauth import (
    LONGEST_TOKEN,
    MOST_DETAILS,
    MOST_SCOPES,
    OauthKind,
    OauthPlace,
    details_of,
)
from taskbound.core.target.openbao import MOST_GIVEN, OpenbaoKind, OpenbaoPlace
from taskbound.core.target.openssh import (
    ALLOWED,
    MOST_HOST_KEYS,
    MOST_LISTED,
    ROOT,
    OpensshKind,
    OpensshPlace,
)
from taskbound.core.target.postgres import MOST_CONNECTIONS, MOST_CONTEXT, PostgresKind, PostgresPlace
from taskbound.core.target.reading import made, read_texts, said
from taskbound.core.target.redis import (
    MOST_COMMANDS,
    MOST_NODES,
    MOST_PARAMETERS,
    MOST_PATTERNS,
    RedisKind,
    RedisPlace,
)
from taskbound.core.target.sts import (
    MOST_ACTIONS,
    MOST_RESOURCES,
    MOST_STATEMENTS,
    Allowed,
    StsKind,
    StsPlace,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.path import Place


_PORT: Final = 65_535


def github_grants(members: Mapping[str, JsonValue], place: Place) -> GithubKind:
    where = place.member("permissions")
    permissions = where.read_object(members["permissions"])
    return made(
        place,
        partial(
            GithubKind,
            repositories=read_texts(members, "repositories", place, most=MOST_REPOSITORIES),
            permissions={
                name: where.member(name).read_text(one) for name, one in sorted(permissions.items())
            },
            **said(members, ("variable",), place),
        ),
    )


def oauth_grants(members: Mapping[str, JsonValue], place: Place) -> OauthKind:
    texts = said(members, ("resource", "audience", "variable"), place)
    scopes = read_texts(members, "scopes", place, most=MOST_SCOPES)
    listed = place.member("details").read_list(members.get("details", []), most=MOST_DETAILS)
    return made(place, lambda: OauthKind(scopes=scopes, details=details_of(listed), **texts))


def openbao_grants(members: Mapping[str, JsonValue], place: Place) -> OpenbaoKind:
    where = place.member("gives")
    gives = where.read_object(members["gives"])
    return made(
        place,
        partial(
            OpenbaoKind,
            mount=place.member("mount").read_text(members["mount"]),
            role=place.member("role").read_text(members["role"]),
            roles=place.member("roles").read_text(members.get("roles", "roles")),
            creds=place.member("creds").read_text(members.get("creds", "creds")),
            gives={name: where.member(name).read_text(one) for name, one in sorted(gives.items())},
            open=read_texts(members, "open", place, most=MOST_GIVEN),
        ),
    )


def openssh_grants(members: Mapping[str, JsonValue], place: Place) -> OpensshKind:
    """Reads what a certificate may do; `file.require_declarable` checks that `root` is declared."""
    account = place.member("account").read_text(members["account"])
    principals = read_texts(members, "principals", place, most=MOST_LISTED)
    root = members.get("root", False)
    if not isinstance(root, bool) or (root and account != ROOT):
        raise place.member("root").fault(f"must be true or false, and is said of the account `{ROOT}` alone")
    return made(
        place,
        partial(
            OpensshKind,
            account=account,
            principals=principals if "principals" in members else (account,),
            command=read_texts(members, "command", place, most=MOST_LISTED),
            source=read_texts(members, "source", place, most=MOST_LISTED),
            allows=read_texts(members, "allows", place, most=len(ALLOWED)),
            root=root,
        ),
    )


def postgres_grants(members: Mapping[str, JsonValue], place: Place) -> PostgresKind:
    return made(
        place,
        partial(
            PostgresKind,
            group=place.member("group").read_text(members["group"]),
            connections=place.member("connections").read_integer(
                members.get("connections", 5), least=1, most=MOST_CONNECTIONS
            ),
            context=read_texts(members, "context", place, most=MOST_CONTEXT),
        ),
    )


def redis_grants(members: Mapping[str, JsonValue], place: Place) -> RedisKind:
    return made(
        place,
        partial(
            RedisKind,
            commands=read_texts(members, "commands", place, most=MOST_COMMANDS),
            reads=read_texts(members, "reads", place, most=MOST_PATTERNS),
            writes=read_texts(members, "writes", place, most=MOST_PATTERNS),
            channels=read_texts(members, "channels", place, most=MOST_PATTERNS),
            parameters=read_texts(members, "parameters", place, most=MOST_PARAMETERS),
        ),
    )


def sts_grants(members: Mapping[str, JsonValue], place: Place) -> StsKind:
    where = place.member("allows")
    allows = []
    for number, one in enumerate(where.read_list(members["allows"], most=MOST_STATEMENTS)):
        item = where.item(number)
        said = item.read_object(one, required=("actions", "resources"), allowed=())
        allows.append(
            Allowed(
                actions=read_texts(said, "actions", item, most=MOST_ACTIONS),
                resources=read_texts(said, "resources", item, most=MOST_RESOURCES),
            )
        )
    return made(
        place,
        partial(
            StsKind,
            role=place.member("role").read_text(members["role"]),
            allows=tuple(allows),
            given=read_texts(members, "parameters", place, most=MOST_STATEMENTS),
        ),
    )


def github_place(value: JsonValue, place: Place) -> GithubPlace:
    members = place.read_object(value, required=("app", "installation"), allowed=("address", "private"))
    return made(
        place,
        partial(
            GithubPlace,
            app=place.member("app").read_text(members["app"]),
            installation=place.member("installation").read_integer(
                members["installation"], least=1, most=2**53 - 1
            ),
            address=place.member("address").read_text(members.get("address", ADDRESS)),
            private=_is_said(members, "private", place),
        ),
    )


def oauth_place(value: JsonValue, place: Place) -> OauthPlace:
    texts = ("client", "method", "token", "issuer", "revocation", "introspection", "subject_issuer")
    members = place.read_object(value, required=texts[:2], allowed=(*texts[2:], "lasts", "private"))
    found = said(members, texts, place)
    lasts = place.member("lasts").read_integer(members.get("lasts", 3_600), least=1, most=LONGEST_TOKEN)
    private = _is_said(members, "private", place)
    return made(place, partial(OauthPlace, lasts=lasts, private=private, **found))


def openbao_place(value: JsonValue, place: Place) -> OpenbaoPlace:
    members = place.read_object(value, required=("address",), allowed=("roots", "namespace", "seen_in"))
    texts = {name: place.member(name).read_text(members[name]) for name in members}
    for name in ("roots", "namespace", "seen_in"):
        if texts.get(name) == "":
            raise place.member(name).fault("must be left out rather than empty")
    return made(
        place,
        partial(
            OpenbaoPlace,
            address=texts["address"],
            roots=texts.get("roots", ""),
            namespace=texts.get("namespace", ""),
            seen_in=texts.get("seen_in", ""),
        ),
    )


def openssh_place(value: JsonValue, place: Place) -> OpensshPlace:
    members = place.read_object(value, required=("host", "host_keys"), allowed=("port", "helper"))
    return made(
        place,
        partial(
            OpensshPlace,
            host=place.member("host").read_text(members["host"]),
            host_keys=read_texts(members, "host_keys", place, most=MOST_HOST_KEYS),
            port=place.member("port").read_integer(members.get("port", 22), least=1, most=_PORT),
            helper=place.member("helper").read_text(members.get("helper", "root")),
        ),
    )


def postgres_place(value: JsonValue, place: Place) -> PostgresPlace:
    members = place.read_object(value, required=("host", "database"), allowed=("port", "roots"))
    return made(
        place,
        partial(
            PostgresPlace,
            host=place.member("host").read_text(members["host"]),
            database=place.member("database").read_text(members["database"]),
            port=place.member("port").read_integer(members.get("port", 5432), least=1, most=_PORT),
            roots=place.member("roots").read_text(members["roots"]) if "roots" in members else "",
        ),
    )


def redis_place(value: JsonValue, place: Place) -> RedisPlace:
    members = place.read_object(value, required=("nodes",), allowed=("roots", "tls"))
    nodes = read_texts(members, "nodes", place, most=MOST_NODES)
    sockets = bool(nodes) and all(one.startswith("/") for one in nodes)
    tls = _is_said(members, "tls", place, default=not sockets)
    return made(
        place,
        partial(
            RedisPlace,
            nodes=nodes,
            tls=tls,
            roots=place.member("roots").read_text(members["roots"]) if "roots" in members else "",
        ),
    )


def sts_place(value: JsonValue, place: Place) -> StsPlace:
    members = place.read_object(value, required=("account", "region"), allowed=("iam", "partition", "sts"))
    texts = {name: place.member(name).read_text(members[name]) for name in members}
    return made(
        place,
        partial(
            StsPlace,
            account=texts["account"],
            region=texts["region"],
            partition=texts.get("partition", "aws"),
            sts=texts.get("sts", ""),
            iam=texts.get("iam", ""),
        ),
    )


def _is_said(members: Mapping[str, JsonValue], name: str, place: Place, *, default: bool = False) -> bool:
    found = members.get(name, default)
    if not isinstance(found, bool):
        raise place.member(name).fault("must be true or false")
    return found


POSTGRES: Final = "postgres"
OPENSSH: Final = "openssh"
OPENBAO: Final = "openbao"
OAUTH: Final = "oauth"
GITHUB: Final = "github"
REDIS: Final = "redis"
"""Valkey as well."""
STS: Final = "sts"


class SystemPlace(Protocol):
    """The address of a target."""

    @property
    def host(self) -> str:
        """A name, an address, or an absolute path on this machine."""

    @property
    def port(self) -> int:
        """The port."""

    @property
    def revocable(self) -> bool:
        """Whether credentials can be ended before they expire."""


class Grants(Protocol):
    """What a credential of a kind may do in the target."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, sorted."""

    @property
    def words(self) -> str:
        """A one-line description for people, with visible escapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The readers of a target file for one kind of system."""

    place: Callable[[JsonValue, Place], SystemPlace]
    """Reads `where`."""
    required: tuple[str, ...]
    """What a kind of credential must have here."""
    allowed: tuple[str, ...]
    """What it may have."""
    grants: Callable[[Mapping[str, JsonValue], Place], Grants]
    """Reads them."""
    renews: bool
    """Whether the end of what was minted there can be moved."""


SYSTEMS: Final[dict[str, System]] = {
    GITHUB: System(
        place=github_place,
        required=("permissions", "repositories"),
        allowed=("variable",),
        grants=github_grants,
        renews=False,
    ),
    OAUTH: System(
        place=oauth_place,
        required=("resource",),
        allowed=("audience", "details", "scopes", "variable"),
        grants=oauth_grants,
        renews=False,
    ),
    OPENBAO: System(
        place=openbao_place,
        required=("gives", "mount", "role"),
        allowed=("creds", "open", "roles"),
        grants=openbao_grants,
        renews=False,
    ),
    OPENSSH: System(
        place=openssh_place,
        required=("account",),
        allowed=("allows", "command", "principals", "root", "source"),
        grants=openssh_grants,
        renews=False,
    ),
    POSTGRES: System(
        place=postgres_place,
        required=("group",),
        allowed=("connections", "context"),
        grants=postgres_grants,
        renews=True,
    ),
    REDIS: System(
        place=redis_place,
        required=("commands",),
        allowed=("channels", "parameters", "reads", "writes"),
        grants=redis_grants,
        renews=True,
    ),
    STS: System(
        place=sts_place,
        required=("allows", "role"),
        allowed=("parameters",),
        grants=sts_grants,
        renews=False,
    ),
}
"""By the word that a target's file has for it."""
