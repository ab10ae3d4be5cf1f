"""Looking at a bundle before it is kept, and again before it is put in force.

1. It is looked at for the tools that are pinned and the groups that exist, and with the base, as it would be
   in force.
2. What holds the base of another version was looked at with that: it has to be proposed anew.
3. A policy that names no action was about calls alone as long as the base knew no operations. With a base
   that does it would be about operations too, which nobody looked at: such a bundle keeps the base that it
   has.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy import (
    BadBundleError,
    InForce,
    PolicyBundle,
    PolicyProblem,
    PolicySyntaxError,
    PolicyTool,
    UnknownBundleError,
    bundle_digest,
    pack,
    require_names,
    require_own,
    whole,
)
from taskbound.core.tool import effect_of, parse_definition
from taskbound.flows.policy.engines import require_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot


_FOR_CALLS: Final = 'write `action in Taskbound::Action::"call"` in its head, and propose the folder anew'


class OtherBaseError(MalformedError):
    """A bundle was proposed to another version of Taskbound, and holds the rules that came with that."""

    code = "other-base"
    remedy = "propose the folder again, so that it is looked at with the rules of this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A bundle as it was looked at, and all that is wrong with it."""

    bundle: PolicyBundle
    archive: bytes
    problems: tuple[PolicyProblem, ...]
    over: InForce = field(default_factory=InForce)
    """What was in force when it was looked at, if it is to be put in force."""

    @property
    def digest(self) -> str:
        """Its digest."""
        return bundle_digest(self.archive)


def tools_of(snapshot: Snapshot, namespace: str) -> tuple[PolicyTool, ...]:
    """The tools that are pinned in a namespace, as policies speak of them."""
    found: list[PolicyTool] = []
    for one in snapshot.tools.tools(namespace):
        definition = parse_definition(one.definition)
        found.append(
            PolicyTool(
                namespace=namespace,
                name=one.name,
                server=one.server,
                schema=definition.input_schema,
                definition=one.digest,
                effect=effect_of(definition, one.effect).value,
                open_world=definition.open_world,
                idempotent=one.idempotent,
            )
        )
    return tuple(found)


def examine(means: Means, namespace: str, files: Mapping[str, str], cases: Mapping[str, str]) -> Examined:
    """Look at what is to be proposed; this takes its time.

    Args:
        means: What to look with.
        namespace: Where it shall hold.
        files: The organisation's rules, text by name.
        cases: Its cases, text by name.

    Raises:
        BadBundleError: It can't be a bundle at all.
    """
    require_names(files, cases)
    ours = whole(files, means.policy.base_text)
    return _look(means, namespace, PolicyBundle(files=ours, cases=dict(sorted(cases.items()))))


def examine_kept(means: Means, namespace: str, digest: str) -> Examined:
    """Look again at a bundle that is to be put in force; its engine is made, and waits.

    Raises:
        UnknownBundleError: There is none of this digest.
        DamagedBundleError: It is not whole.
        OtherBaseError: It holds the rules of another version (rule 2).
    """
    policies = means.policy
    with means.store.read() as snapshot:
        if snapshot.policy.bundle(namespace, digest) is None:
            raise UnknownBundleError(f"no policy bundle has the digest `{digest}`")
        bundle = require_bundle(snapshot, namespace, digest)
        over = snapshot.policy.in_force(namespace)
        if bundle.base != policies.base_text:
            raise OtherBaseError(f"policy bundle `{digest}` holds the base of another version")
    found = replace(_look(means, namespace, bundle), over=over)
    if not found.problems:
        with means.store.read() as snapshot:
            policies.engine(snapshot, namespace, digest)
    return found


def require_loads(means: Means, bundle: PolicyBundle, digest: str) -> None:
    """Go on only with what can be read whole and takes no name of the base.

    Raises:
        PolicySyntaxError: It can't be read.
        BadBundleError: It takes one.
    """
    policies = means.policy
    engine = policies.language.engine(bundle.text, digest=digest)
    require_own(engine.policies, policies.base.policies)
    for name, why in engine.operations.unfit.items():
        raise BadBundleError(
            f"policy `{name}` can be about operations, and must not: {why}", remedy=_FOR_CALLS
        )


def rebased(means: Means, bundle: PolicyBundle, *, strict: bool = False) -> PolicyBundle:
    """The organisation's rules with the base of now; as they are where they would mean more then (rule 3).

    Raises:
        PolicySyntaxError: This version can't read them.
        BadBundleError: They would mean more, and it is `strict`.
    """
    engine = means.policy.language.engine(bundle.text)
    meant = () if engine.operations.known else sorted(engine.operations.every)
    if not meant:
        return PolicyBundle(files=whole(bundle.own, means.policy.base_text), cases=bundle.cases)
    if strict:
        raise BadBundleError(
            f"policy `{meant[0]}` names no action, and would be about operations too from now on",
            remedy=_FOR_CALLS,
        )
    return bundle


def _look(means: Means, namespace: str, bundle: PolicyBundle) -> Examined:
    archive = pack(bundle)
    with means.store.read() as snapshot:
        tools = tools_of(snapshot, namespace)
        groups = tuple(one.name for one in snapshot.identities.groups(namespace))
    found = means.policy.language.problems(bundle.own, tools, groups)  # 1
    if not found:
        try:
            require_loads(means, bundle, bundle_digest(archive))
        except (PolicySyntaxError, BadBundleError) as error:
            first = next(iter(bundle.own))
            found = (
                PolicyProblem(
                    file=first, line=1, column=1, policy="", words=error.message, hint=error.advice
                ),
            )
    return Examined(bundle=bundle, archive=archive, problems=found)
