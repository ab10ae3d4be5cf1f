"""The parser of target files, and the rules for renewing a credential.

1. A file declares one target: name, kind of system, place, owner, approvers and kinds of credentials. An
   unknown member is refused.
2. Admin access is never in the file; it is sealed to the broker when a person types it.
3. A target has an owner and at least one approver (law 9): a person, or a group as `group:NAME`. A bare name
   is a person's if that person exists, else a group's; the target stores which.
4. The target's identity is the digest of kind, place and kinds of credentials, without owner and approvers.
   A permit for an earlier identity is a permit for another target.
5. Newer requirements on declarations (`require_declarable`) do not apply to reading an older file, so that
   its credentials can still be ended.

A credential can be renewed if it belongs to the calling task and agent, to this target as declared now and to
this kind; is active, delivered, not expired, and not being revoked; was requested with the same parameters;
and has no other renewal pending or unknown. All credentials that do not match give the same error. The new
end follows the rules of a new credential and must be later than the old end and any end given to the target.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document, parse_object
from taskbound.core.credential import (
    CredentialState,
    NotRenewableError,
    RenewalNotLaterError,
    RenewalUnderWayError,
    end_of,
    is_renewing,
    latest_end,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import group_named, parse_name
from taskbound.core.scope.path import Place
from taskbound.core.scope.show import ScopeSyntaxError, kind_of
from taskbound.core.target.errors import TargetFileError
from taskbound.core.target.kind import LONGEST, RENEWS, SECONDS, CredentialKind
from taskbound.core.target.openssh import ROOT, OpensshKind
from taskbound.core.target.reading import made
from taskbound.core.target.systems import SYSTEMS
from taskbound.core.tool.definition import Effect
from taskbound.core.tool.name import CREDENTIAL, credential_kind, join_tool_name, parse_server_name, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import Action
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.target.kind import Life
    from taskbound.core.target.systems import System, SystemPlace


IDENTITY_VERSION: Final = 1
"""The version of what stands in an identity's digest."""
MAX_KINDS: Final = 64
MAX_APPROVERS: Final = 32
_EFFECTS: Final = tuple(one.value for one in Effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFile:
    """A target as its file declares it."""

    name: str
    kind: str
    """What kind of system it is: one of `SYSTEMS`."""
    place: SystemPlace
    owner: str
    """The person who answers for it."""
    approvers: tuple[str, ...]
    """Persons and groups, sorted; a group as `group:NAME`, or by its bare name (rule 3)."""
    credentials: tuple[CredentialKind, ...]
    """By name."""
    where: bytes
    """Canonical JSON of kind, place and kinds of credentials: what the identity is made of (rule 4)."""

    @property
    def spec(self) -> bytes:
        """Returns canonical JSON of kind and place, stored where a server has its start command."""
        whole = parse_object(self.where)
        return canonical({"kind": whole["kind"], "where": whole["where"]})

    def naming(self, approvers: tuple[str, ...]) -> bytes:
        """Returns the file as canonical JSON with these approvers (rule 3)."""
        return canonical(
            {
                **parse_object(self.where),
                "approvers": list(approvers),
                "owner": self.owner,
                "target": self.name,
            }
        )

    def identity(self, namespace: str) -> str:
        """Returns the target's digest in a namespace: 64 lowercase hexadecimal digits (rule 4)."""
        return sha256(
            canonical(
                {
                    "kind": "target",
                    "namespace": namespace,
                    "target": parse_document(self.where),
                    "version": IDENTITY_VERSION,
                }
            )
        ).hexdigest()


def parse_target_file(raw: bytes | JsonValue) -> TargetFile:
    """Reads a target file; raises TargetFileError, whose ``where`` is the place."""
    try:
        value = parse_document(canonical(parse_document(raw) if isinstance(raw, bytes) else raw))
    except MalformedError as error:
        raise TargetFileError(
            f"the target's file can't be read: {error.message}", where=error.where
        ) from error
    if not isinstance(value, dict):
        raise TargetFileError(f"a target's file must be an object, not {kind_of(value)}")
    try:
        return _parse_file(value, Place())
    except ScopeSyntaxError as error:
        raise TargetFileError(error.message, where=error.where) from error


def require_declarable(file: TargetFile) -> None:
    """Raises TargetFileError if a kind gives `root` and does not declare it (rule 5)."""
    for one in file.credentials:
        if isinstance(one.grants, OpensshKind) and one.grants.owns and not one.grants.root:
            where = f"credentials.{one.name}"
            raise TargetFileError(
                f"`{where}`: a login that may run anything as `{ROOT}` owns the host and can undo revocation",
                where=where,
                remedy="name another account, or the one `command` that may run; where all of the host is"
                " meant, say `root: true`",
            )


def _parse_file(value: JsonValue, top: Place) -> TargetFile:
    members = top.read_object(
        value, required=("target", "kind", "where", "owner", "approvers", "credentials"), allowed=()
    )
    name = top.member("target").read_text(members["target"])
    made(top.member("target"), lambda: parse_server_name(name))
    kind = top.member("kind").read_text(members["kind"])
    system = SYSTEMS.get(kind)
    if system is None:
        known = ", ".join(sorted(SYSTEMS))
        raise top.member("kind").fault(f"must be a kind of system that credentials are minted in: {known}")
    place = top.member("credentials")
    declared = place.read_object(members["credentials"])
    if not 1 <= len(declared) <= MAX_KINDS:
        raise place.fault(f"must have 1 to {MAX_KINDS} kinds of credentials")
    for one in sorted(declared):
        made(place.member(one), partial(join_tool_name, name, CREDENTIAL + one))
    return TargetFile(
        name=name,
        kind=kind,
        place=system.place(members["where"], top.member("where")),
        owner=_parse_person(members["owner"], top.member("owner")),
        approvers=_parse_approvers(members["approvers"], top.member("approvers")),
        credentials=tuple(
            _parse_kind(system, one, declared[one], place.member(one)) for one in sorted(declared)
        ),
        where=canonical(
            {"credentials": members["credentials"], "kind": members["kind"], "where": members["where"]}
        ),
    )


def _parse_kind(system: System, name: str, value: JsonValue, place: Place) -> CredentialKind:
    members = place.read_object(
        value, required=("for", "seconds", *system.required), allowed=("effect", "renewable", *system.allowed)
    )
    effect = place.member("effect").read_text(members.get("effect", Effect.DESTRUCTIVE.value))
    if effect not in _EFFECTS:
        raise place.member("effect").fault(f"must be one of {', '.join(_EFFECTS)}")
    renewable = members.get("renewable", False)
    if not isinstance(renewable, bool):
        raise place.member("renewable").fault("must be true or false")
    if renewable and not system.renews:
        raise place.member("renewable").fault("can't be: nothing moves the end of what is minted there")
    return made(
        place,
        partial(
            CredentialKind,
            name=name,
            description=place.member("for").read_text(members["for"]),
            seconds=place.member("seconds").read_integer(members["seconds"], least=1, most=LONGEST),
            effect=Effect(effect),
            renewable=renewable,
            grants=system.grants(members, place),
        ),
    )


def _parse_approvers(value: JsonValue, place: Place) -> tuple[str, ...]:
    texts = [
        _parse_person(one, place.item(number), group=True)
        for number, one in enumerate(place.read_list(value, most=MAX_APPROVERS))
    ]
    if not texts or len(set(texts)) != len(texts):
        raise place.fault("must name at least one approver, and no approver twice")  # 3
    return tuple(sorted(texts))


def _parse_person(value: JsonValue, place: Place, *, group: bool = False) -> str:
    text = place.read_text(value)
    try:
        parse_name(group_named(text) or text if group else text, what="a person")
    except MalformedError as error:
        raise place.fault(f"must be the name of a person{' or a group' if group else ''}") from error
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewable:
    """A credential's locked row and the state of its last renewal."""

    row: Credential
    unsettled: bool = False
    """Whether the action of its last renewal has no outcome yet, or none that anybody knows."""


def parameters_of(arguments: bytes) -> Mapping[str, JsonValue]:
    """Returns the requested parameters without duration and renewed id."""
    return {name: value for name, value in parse_object(arguments).items() if name not in {RENEWS, SECONDS}}


def renewed_until(
    found: Renewable | None, action: Action, life: Life, now: Instant, *ends: Instant
) -> Instant:
    """Returns the new end; `found` is None for an unknown id, `ends` are the tasks' deadlines."""
    row = None if found is None else found.row
    if (
        found is None
        or row is None
        or not row.action
        or (row.namespace, row.task, row.agent) != (action.namespace, action.task, action.agent)
    ):
        raise NotRenewableError(f"this task has no credential `{shown(life.renews)}`")
    if (row.target, row.kind) != credential_kind(action.tool):
        raise NotRenewableError(f"`{row.id}` is of another target, or another kind")
    if row.identity != action.server:
        raise NotRenewableError(f"the target `{row.target}` is another one than `{row.id}` was minted in")
    if row.state is not CredentialState.ACTIVE:
        raise NotRenewableError(f"`{row.id}` is {row.state.value}, and only what is active is renewed")
    if not row.acknowledged or now >= row.ends:
        raise NotRenewableError(f"`{row.id}` has expired, or its secret was not delivered yet")
    if parameters_of(row.arguments) != parameters_of(action.arguments):
        raise NotRenewableError(f"`{row.id}` was asked for with other parameters")
    if is_renewing(row) or found.unsettled:
        raise RenewalUnderWayError(f"another renewal of `{row.id}` is under way")
    until = end_of(life.asked, life.most, now, *ends)
    if until <= latest_end(row):
        raise RenewalNotLaterError(f"`{row.id}` would end no later than it may do already")
    return until
