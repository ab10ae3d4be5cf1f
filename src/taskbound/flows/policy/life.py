"""The life of a policy bundle: examined, proposed, activated, withdrawn.

- A bundle is examined whole before it is kept and before it is activated. If it does not fit the pinned
  tools, it is refused with all problems and the bundle in force stays. Of two concurrent activations, one
  succeeds.
- A rollback takes the organization's earlier rules with the current base. It needs nothing of the bundle in
  force, which may be damaged.
- A policy without an action, written before the base knew operations, would extend to operations; its bundle
  keeps its base.
"""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.audit import (
    PolicyActivated,
    PolicyProposed,
    PolicyRebased,
    PolicyRefused,
    PolicyRolledBack,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.policy import (
    ActiveBundle,
    BadBundleError,
    PolicyBundle,
    PolicyProblem,
    PolicySyntaxError,
    PolicyTool,
    UnknownBundleError,
    bundle_digest,
    pack,
    require_activator,
    require_earlier,
    require_names,
    require_own,
    require_unmoved,
    whole,
)
from taskbound.core.tool import effect_of, parse_definition
from taskbound.flows.policy.engines import believed, require_activation, require_bundle
from taskbound.ports.policy import BundleActivation, StoredBundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.audit import Event
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Snapshot, Transaction


_FOR_CALLS: Final = 'write `action in Taskbound::Action::"call"` in its head, and propose the folder anew'


class OtherBaseError(MalformedError):
    """The bundle contains the base of another version of Taskbound."""

    code = "other-base"
    remedy = "propose the folder again, so that it is looked at with the rules of this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """An examined bundle with its problems."""

    bundle: PolicyBundle
    archive: bytes
    problems: tuple[PolicyProblem, ...]
    over: ActiveBundle = field(default_factory=ActiveBundle)
    """What was in force when it was looked at, if it is to be put in force."""

    @property
    def digest(self) -> str:
        return bundle_digest(self.archive)


def tools_of(snapshot: Snapshot, namespace: str) -> tuple[PolicyTool, ...]:
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


def examine(
    adapters: Adapters, namespace: str, files: Mapping[str, str], cases: Mapping[str, str]
) -> Examined:
    """Examines rules and test cases, texts by name; slow. Raises BadBundleError."""
    require_names(files, cases)
    ours = whole(files, adapters.policy.base_text)
    return _look(adapters, namespace, PolicyBundle(files=ours, cases=dict(sorted(cases.items()))))


def examine_kept(adapters: Adapters, namespace: str, digest: str) -> Examined:
    """Examines a stored bundle before activation and makes its engine."""
    policies = adapters.policy
    with adapters.store.read() as snapshot:
        if snapshot.policy.bundle(namespace, digest) is None:
            raise UnknownBundleError(f"no policy bundle has the digest `{digest}`")
        bundle = require_bundle(snapshot, namespace, digest)
        over = snapshot.policy.in_force(namespace)
        if bundle.base != policies.base_text:
            raise OtherBaseError(f"policy bundle `{digest}` holds the base of another version")
    found = replace(_look(adapters, namespace, bundle), over=over)
    if not found.problems:
        with adapters.store.read() as snapshot:
            policies.engine(snapshot, namespace, digest)
    return found


def require_loads(adapters: Adapters, bundle: PolicyBundle, digest: str) -> None:
    """Raises PolicySyntaxError for unreadable rules, or BadBundleError for a name of the base."""
    policies = adapters.policy
    engine = policies.language.engine(bundle.text, digest=digest)
    require_own(engine.policies, policies.base.policies)
    for name, why in engine.operations.unfit.items():
        raise BadBundleError(
            f"policy `{name}` can be about operations, and must not: {why}", remedy=_FOR_CALLS
        )


def rebased(adapters: Adapters, bundle: PolicyBundle, *, strict: bool = False) -> PolicyBundle:
    """Returns the organization's rules with the current base, unchanged if they would mean more."""
    engine = adapters.policy.language.engine(bundle.text)
    meant = () if engine.operations.known else sorted(engine.operations.every)
    if not meant:
        return PolicyBundle(files=whole(bundle.own, adapters.policy.base_text), cases=bundle.cases)
    if strict:
        raise BadBundleError(
            f"policy `{meant[0]}` names no action, and would be about operations too from now on",
            remedy=_FOR_CALLS,
        )
    return bundle


def _look(adapters: Adapters, namespace: str, bundle: PolicyBundle) -> Examined:
    archive = pack(bundle)
    with adapters.store.read() as snapshot:
        tools = tools_of(snapshot, namespace)
        groups = tuple(one.name for one in snapshot.identities.groups(namespace))
    found = adapters.policy.language.problems(bundle.own, tools, groups)
    if not found:
        try:
            require_loads(adapters, bundle, bundle_digest(archive))
        except (PolicySyntaxError, BadBundleError) as error:
            first = next(iter(bundle.own))
            found = (
                PolicyProblem(
                    file=first, line=1, column=1, policy="", words=error.message, hint=error.advice
                ),
            )
    return Examined(bundle=bundle, archive=archive, problems=found)


_NOTE: Final = 500
_Moves: TypeAlias = "PolicyActivated | PolicyRolledBack | PolicyRebased"


class AlreadyInForceError(MalformedError):
    """The bundle is in force already."""

    code = "already-in-force"


class BadNoteError(MalformedError):
    """The note of a bundle is invalid."""

    code = "bad-note"
    remedy = f"say in at most {_NOTE} characters why the bundle is proposed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refused bundle with all of its problems, which is recorded."""

    digest: str
    problems: tuple[PolicyProblem, ...]


class Bundles:
    """Works on bundles; must be used from one thread at a time, except for reads."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def propose(self, namespace: str, seen: Examined, note: str, actor: Actor) -> StoredBundle | Refused:
        if len(note) > _NOTE:
            raise BadNoteError(f"a note has at most {_NOTE} characters")
        if seen.problems:
            return self._refuse(namespace, seen, actor)

        def work(tx: Transaction) -> StoredBundle:
            kept = tx.policy.bundle(namespace, seen.digest)
            if kept is not None:
                return kept
            event = PolicyProposed(
                bundle=seen.digest, files=tuple(seen.bundle.own), note=note, by=actor.name, proof=actor.proof
            )
            return self._keep(tx, namespace, seen.archive, actor.name, note, event)

        return self._adapters.store.write(work)

    def activate(self, namespace: str, seen: Examined, actor: Actor) -> BundleActivation | Refused:
        if seen.problems:
            return self._refuse(namespace, seen, actor)

        def work(tx: Transaction) -> BundleActivation:
            now = tx.policy.lock_in_force(namespace, moves=True)
            kept = tx.policy.bundle(namespace, seen.digest)
            if kept is None:
                raise UnknownBundleError(f"no policy bundle has the digest `{seen.digest}`")
            if now.digest == kept.digest:
                raise AlreadyInForceError(f"policy bundle `{kept.digest}` is in force")
            require_unmoved(seen.over, now)
            persons, _ = tx.identities.lock_grantors(namespace)
            event = PolicyActivated(
                bundle=kept.digest,
                before=now.digest,
                epoch=now.epoch + 1,
                author=kept.author,
                by=actor.name,
                proof=actor.proof,
                alone=require_activator(kept.author, actor.name, persons),
            )
            return self._move(tx, namespace, now, event)

        return self._moved(work)

    def roll_back(self, namespace: str, told: str | None, reason: str, actor: Actor) -> BundleActivation:
        """Returns to an earlier bundle: a digest, '' for the base alone, None for the previous."""
        if len(reason) > _NOTE:
            raise BadNoteError(f"a reason has at most {_NOTE} characters")

        def work(tx: Transaction) -> BundleActivation:
            now = tx.policy.lock_in_force(namespace, moves=True)
            rows = tx.policy.activations(namespace)
            past = [*believed(tx, namespace, rows), ActiveBundle()]
            last = rows[0].force if rows else ActiveBundle()
            edited = not past[0] == last == now
            since = ActiveBundle(epoch=last.epoch + 1) if edited else now
            digest = require_earlier(since, past, told)
            bundle = rebased(self._adapters, require_bundle(tx, namespace, digest)) if digest else None
            archive = pack(bundle) if bundle else b""
            target = bundle_digest(archive) if archive else ""
            if target == now.digest and not edited:
                raise AlreadyInForceError(f"policy bundle `{target or 'base'}` is in force")
            if bundle is not None:
                self._adapters.policy.make(bundle, target)
            event = PolicyRolledBack(
                bundle=target,
                before=now.digest,
                epoch=since.epoch + 1,
                by=actor.name,
                proof=actor.proof,
                reason=reason,
            )
            return self._move(tx, namespace, now, event, (digest, archive))

        return self._moved(work)

    def rebase(self, software: str) -> tuple[tuple[str, str], ...]:
        """Gives bundles in force this version's base; returns those that keep theirs, and why."""
        with self._adapters.store.read() as snapshot:
            spaces = snapshot.policy.governed()
        failed: list[tuple[str, str]] = []
        for namespace in spaces:
            try:
                self._adapters.store.write(partial(self._rebase, namespace, software))
            except TaskboundError as error:
                failed.append((namespace, error.message))
        self._adapters.policy.moves += 1
        self._views.forget()
        return tuple(failed)

    def _rebase(self, namespace: str, software: str, tx: Transaction) -> None:
        now = tx.policy.lock_in_force(namespace, moves=True)
        require_activation(tx, namespace, now)
        if not now.digest:
            return
        before = require_bundle(tx, namespace, now.digest)
        if before.base == self._adapters.policy.base_text:
            return
        bundle = rebased(self._adapters, before, strict=True)
        kept = tx.policy.bundle(namespace, now.digest)
        archive = pack(bundle)
        digest = bundle_digest(archive)
        require_loads(self._adapters, bundle, digest)
        author = kept.author if kept else ""
        event = PolicyRebased(
            bundle=digest, before=now.digest, epoch=now.epoch + 1, author=author, software=software
        )
        self._move(tx, namespace, now, event, (now.digest, archive))

    def _moved(self, work: Callable[[Transaction], BundleActivation]) -> BundleActivation:
        try:
            return self._adapters.store.write(work)
        finally:
            self._adapters.policy.moves += 1
            self._views.forget()

    def _refuse(self, namespace: str, seen: Examined, actor: Actor) -> Refused:
        first = seen.problems[0]
        event = PolicyRefused(
            bundle=seen.digest,
            code=PolicySyntaxError.code,
            problems=len(seen.problems),
            reason=f"{first.file}:{first.line}:{first.column}: {first.words}",
            by=actor.name,
            proof=actor.proof,
        )
        self._adapters.store.write(
            lambda tx: tx.audit.append(namespace, self._adapters.writer, [event], self._adapters.clock.now())
        )
        return Refused(digest=seen.digest, problems=seen.problems)

    def _keep(
        self, tx: Transaction, namespace: str, archive: bytes, author: str, note: str, event: Event
    ) -> StoredBundle:
        now = self._adapters.clock.now()
        tx.audit.append(namespace, self._adapters.writer, [event], now)
        kept = StoredBundle(
            namespace=namespace,
            digest=bundle_digest(archive),
            archive=archive,
            author=author,
            at=now,
            note=note,
            record=tx.audit.last_number(),
        )
        tx.policy.insert_bundle(kept)
        return kept

    def _move(
        self,
        tx: Transaction,
        namespace: str,
        before: ActiveBundle,
        event: _Moves,
        rebased: tuple[str, bytes] = ("", b""),
    ) -> BundleActivation:
        now = self._adapters.clock.now()
        tx.audit.append(namespace, self._adapters.writer, [event], now)
        number = tx.audit.last_number()
        source, archive = rebased
        if archive and tx.policy.bundle(namespace, event.bundle) is None:
            first = tx.policy.bundle(namespace, source)
            kept = StoredBundle(
                namespace=namespace,
                digest=event.bundle,
                archive=archive,
                author=first.author if first else "",
                at=now,
                note=first.note if first else "",
                record=number,
            )
            tx.policy.insert_bundle(kept)
        force = ActiveBundle(epoch=event.epoch, digest=event.bundle)
        activation = BundleActivation(
            namespace=namespace,
            force=force,
            how=event.kind.removeprefix("policy-"),
            by="daemon" if isinstance(event, PolicyRebased) else event.by,
            at=now,
            record=number,
        )
        tx.policy.put_in_force(activation, expect=before.epoch)
        return activation
