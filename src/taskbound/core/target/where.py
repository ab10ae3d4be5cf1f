"""What each kind of system has in `where` of a target's file.

1. A member that a system doesn't know refuses, as any other; what may be left out is never written empty.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.target.github import ADDRESS, GithubPlace
from taskbound.core.target.oauth import LONGEST_TOKEN, OauthPlace
from taskbound.core.target.openbao import OpenbaoPlace
from taskbound.core.target.openssh import (
    MOST_HOST_KEYS,
    OpensshPlace,
)
from taskbound.core.target.postgres import PostgresPlace
from taskbound.core.target.reading import made, read_texts, said
from taskbound.core.target.redis import (
    MOST_NODES,
    RedisPlace,
)
from taskbound.core.target.sts import (
    StsPlace,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place


_PORT: Final = 65_535


def github_place(value: JsonValue, place: Place) -> GithubPlace:
    """An App of GitHub: where it is."""
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
    """An authorization server: where it is."""
    texts = ("client", "method", "token", "issuer", "revocation", "introspection", "subject_issuer")
    members = place.read_object(value, required=texts[:2], allowed=(*texts[2:], "lasts", "private"))
    found = said(members, texts, place)
    lasts = place.member("lasts").read_integer(members.get("lasts", 3_600), least=1, most=LONGEST_TOKEN)
    private = _is_said(members, "private", place)
    return made(place, partial(OauthPlace, lasts=lasts, private=private, **found))


def openbao_place(value: JsonValue, place: Place) -> OpenbaoPlace:
    """An OpenBao or Vault: where it is."""
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
    """A host: where it is."""
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
    """A database: where it is."""
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
    """A Redis or Valkey: where it is."""
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
    """An account of AWS: where it is."""
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
