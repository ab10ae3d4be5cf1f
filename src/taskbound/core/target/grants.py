"""What a kind of credential has in each kind of system, beside what all kinds have.

1. A member that a system doesn't know was refused before; what is left out has the value
   that is written here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.target.details import MOST_DETAILS, details_of
from taskbound.core.target.github import MOST_REPOSITORIES, GithubKind
from taskbound.core.target.oauth import MOST_SCOPES, OauthKind
from taskbound.core.target.openbao import MOST_GIVEN, OpenbaoKind
from taskbound.core.target.openssh import (
    ALLOWED,
    MOST_LISTED,
    ROOT,
    OpensshKind,
)
from taskbound.core.target.postgres import MOST_CONNECTIONS, MOST_CONTEXT, PostgresKind
from taskbound.core.target.reading import made, read_texts, said
from taskbound.core.target.redis import (
    MOST_COMMANDS,
    MOST_PARAMETERS,
    MOST_PATTERNS,
    RedisKind,
)
from taskbound.core.target.sts import (
    MOST_ACTIONS,
    MOST_RESOURCES,
    MOST_STATEMENTS,
    Allowed,
    StsKind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place


_PORT: Final = 65_535


def github_grants(members: Mapping[str, JsonValue], place: Place) -> GithubKind:
    """An App of GitHub: what a credential may do there."""
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
    """An authorization server: what a credential may do there."""
    texts = said(members, ("resource", "audience", "variable"), place)
    scopes = read_texts(members, "scopes", place, most=MOST_SCOPES)
    listed = place.member("details").read_list(members.get("details", []), most=MOST_DETAILS)
    return made(place, lambda: OauthKind(scopes=scopes, details=details_of(listed), **texts))


def openbao_grants(members: Mapping[str, JsonValue], place: Place) -> OpenbaoKind:
    """An OpenBao or Vault: what a credential may do there."""
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
    """A host: what a credential may do there; what owns the host says so (`file.require_declarable`)."""
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
    """A database: what a credential may do there."""
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
    """A Redis or Valkey: what a credential may do there."""
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
    """An account of AWS: what a credential may do there."""
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
