"""Operations on bundles of policies and on scopes.

Validating a bundle is slow and runs beside the worker, once the caller is known to be a person; the person is
checked again right before it takes effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import parse_object
from taskbound.core.audit import PolicyActivated, parse_record
from taskbound.core.policy import BASE_FILE, ActiveBundle, DamagedBundleError, UnknownBundleError
from taskbound.core.scope import describe
from taskbound.core.scope.algebra import Covers, NotCovers
from taskbound.core.scope.suggest import MadeCall
from taskbound.flows.policy import Refused, examine, examine_kept, replay
from taskbound.flows.policy.engines import require_bundle
from taskbound.flows.scope import SuggestOrder, suggest_scope
from taskbound.surfaces.api.operations.show import scope_raw
from taskbound.surfaces.api.server.operation import from_snapshot, operation
from taskbound.wire import policy as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.policy import PolicyProblem
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.policy import BundleActivation, PolicyEngine, StoredBundle
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import Reading
    from taskbound.wire.envelope import Answer


@operation(wire.ProposeBundle)
async def _propose(daemon: Daemon, connection: Connection, ask: wire.ProposeBundle) -> Answer:
    await daemon.first(lambda: daemon.require_person(connection))
    seen = await daemon.read(lambda: examine(daemon.adapters, connection.namespace, ask.files, ask.cases))
    kept = await daemon.first(
        lambda: daemon.bundles.propose(
            connection.namespace, seen, ask.note, daemon.require_person(connection)
        )
    )
    problems = _problems(kept.problems) if isinstance(kept, Refused) else ()
    return wire.BundleAnswer(digest=kept.digest, problems=problems)


@operation(wire.ActivateBundle)
async def _activate(daemon: Daemon, connection: Connection, ask: wire.ActivateBundle) -> Answer:
    await daemon.first(lambda: daemon.require_person(connection))
    seen = await daemon.read(lambda: examine_kept(daemon.adapters, connection.namespace, ask.digest))
    done = await daemon.first(
        lambda: daemon.bundles.activate(connection.namespace, seen, daemon.require_person(connection))
    )
    problems = _problems(done.problems) if isinstance(done, Refused) else ()
    return wire.BundleAnswer(digest=ask.digest, problems=problems)


@operation(wire.RollBackBundle)
async def _roll_back(daemon: Daemon, connection: Connection, ask: wire.RollBackBundle) -> Answer:
    done = await daemon.first(
        lambda: daemon.bundles.roll_back(
            connection.namespace, ask.digest, ask.reason, daemon.require_person(connection)
        )
    )
    return Done(detail=daemon.adapters.policy.digest_of(done.force))


@operation(wire.ListBundles)
async def _list_bundles(daemon: Daemon, connection: Connection, _ask: wire.ListBundles) -> Answer:
    def read() -> Answer:
        policies, namespace = daemon.adapters.policy, connection.namespace
        with daemon.adapters.store.read() as snapshot:
            force = snapshot.policy.in_force(namespace)
            past = snapshot.policy.activations(namespace)
            rows = tuple(_row(one, force, past) for one in snapshot.policy.bundles(namespace))
            activations = tuple(_activation(snapshot, one) for one in past)
        return wire.BundleRows(
            in_force=policies.digest_of(force),
            base=policies.base.bundle,
            rows=rows,
            activations=activations,
            trouble=_trouble(policies, namespace, force),
        )

    return await daemon.read(read)


@from_snapshot(wire.ShowBundle)
def _show(reading: Reading, ask: wire.ShowBundle) -> Answer:
    policies, namespace = reading.adapters.policy, reading.namespace
    force = reading.snapshot.policy.in_force(namespace)
    digest = ask.digest or policies.digest_of(force)
    if digest == policies.base.bundle:
        return _base(policies.base.bundle, policies.base_text, force)
    kept = reading.snapshot.policy.bundle(namespace, digest)
    if kept is None:
        raise UnknownBundleError(f"no policy bundle has the digest `{digest}`")
    bundle = require_bundle(reading.snapshot, namespace, digest)
    past = reading.snapshot.policy.activations(namespace)
    placed = reading.snapshot.audit.numbered(kept.record)
    place = placed.place if placed is not None and placed.place is not None else -1
    checkpoint = reading.snapshot.audit.checkpoint()
    return wire.BundleDetail(
        row=_row(kept, force, past),
        files=dict(bundle.files),
        cases=dict(bundle.cases),
        activations=tuple(_activation(reading.snapshot, one) for one in past if one.force.digest == digest),
        record=place,
        covered=checkpoint is not None and 0 <= place < checkpoint.size,
    )


@operation(wire.ReplayBundle)
async def _replay_actions(daemon: Daemon, connection: Connection, ask: wire.ReplayBundle) -> Answer:
    if ask.files:  # submitted rules are validated for persons only
        await daemon.first(lambda: daemon.require_person(connection))

    def read() -> Answer:
        if ask.files:
            seen = examine(daemon.adapters, connection.namespace, ask.files, {})
            if seen.problems:
                return wire.Replayed(
                    asked=0,
                    same=0,
                    beside=0,
                    differences=(),
                    not_asked=(),
                    bundle=seen.digest,
                    problems=_problems(seen.problems),
                )
            engine = daemon.adapters.policy.make(seen.bundle, seen.digest)
        else:
            engine = _kept(daemon, connection.namespace, ask.digest)
        found = replay(daemon.adapters, connection.namespace, engine, ask.last)
        return wire.Replayed(
            asked=found.asked,
            same=found.same,
            beside=found.beside,
            differences=tuple(
                wire.ReplayDifference(
                    action=one.action,
                    agent=one.agent,
                    tool=one.tool,
                    was=one.was,
                    would=one.would,
                    facts=one.facts,
                )
                for one in found.differences
            ),
            not_asked=found.not_asked,
            bundle=engine.bundle,
        )

    return await daemon.read(read)


def in_force(daemon: Daemon, namespace: str) -> wire.BundleInForce:
    """Returns the rules in force and the person who activated them."""
    policies = daemon.adapters.policy
    with daemon.adapters.store.read() as snapshot:
        force = snapshot.policy.in_force(namespace)
        kept = snapshot.policy.bundle(namespace, force.digest) if force.digest else None
        last = next((one for one in snapshot.policy.activations(namespace) if one.force == force), None)
    return wire.BundleInForce(
        digest=policies.digest_of(force),
        base=policies.base.bundle,
        author=kept.author if kept else "",
        how=last.how if last else "",
        by=last.by if last else "",
        at=last.at if last else 0,
        trouble=_trouble(policies, namespace, force),
    )


def _trouble(policies: Policies, namespace: str, force: ActiveBundle) -> str:
    """Returns why the bundle in force decides nothing; empty if it is sound."""
    try:
        policies.at(namespace, force)
    except DamagedBundleError as error:
        return f"{error.message}; {error.advice}"
    return ""


def _kept(daemon: Daemon, namespace: str, digest: str) -> PolicyEngine:
    policies = daemon.adapters.policy
    with daemon.adapters.store.read() as snapshot:
        force = snapshot.policy.in_force(namespace)
        if digest and digest != policies.base.bundle and snapshot.policy.bundle(namespace, digest) is None:
            raise UnknownBundleError(f"no policy bundle has the digest `{digest}`")
        return policies.engine(snapshot, namespace, digest or force.digest)


def _base(digest: str, text: str, force: ActiveBundle) -> wire.BundleDetail:
    """The rules that come with Taskbound, without a proposer."""
    row = wire.BundleRow(
        digest=digest,
        author="",
        at=0,
        note="the rules that come with Taskbound",
        state="proposed" if force.digest else "in-force",
    )
    return wire.BundleDetail(
        row=row, files={BASE_FILE: text}, cases={}, activations=(), record=-1, covered=False
    )


def _row(kept: StoredBundle, force: ActiveBundle, past: Sequence[BundleActivation]) -> wire.BundleRow:
    state = "proposed"
    if kept.digest == force.digest:
        state = "in-force"
    elif any(one.force.digest == kept.digest for one in past):
        state = "was-in-force"
    return wire.BundleRow(digest=kept.digest, author=kept.author, at=kept.at, note=kept.note, state=state)


def _activation(snapshot: Snapshot, one: BundleActivation) -> wire.ActivationRow:
    found = snapshot.audit.numbered(one.record)
    event = parse_record(found.body).event if found is not None else None
    return wire.ActivationRow(
        epoch=one.force.epoch,
        digest=one.force.digest,
        how=one.how,
        by=one.by,
        at=one.at,
        alone=isinstance(event, PolicyActivated) and event.alone,
    )


def _problems(found: Sequence[PolicyProblem]) -> tuple[wire.BundleProblem, ...]:
    return tuple(
        wire.BundleProblem(
            file=one.file,
            line=one.line,
            column=one.column,
            words=one.words,
            hint=one.hint,
            policy=one.policy,
        )
        for one in found
    )


@operation(wire.SuggestScope)
async def _suggest(daemon: Daemon, connection: Connection, ask: wire.SuggestScope) -> Answer:
    order = SuggestOrder(
        namespace=connection.namespace,
        agent=ask.agent,
        tasks=ask.tasks,
        since=ask.since,
        calls=tuple(
            MadeCall(tool=one.tool, arguments=parse_object(bytes(one.arguments))) for one in ask.calls
        ),
    )

    def read() -> Answer:
        found = suggest_scope(daemon.adapters, order)
        made = found.suggestion
        within = made.within
        return wire.Suggested(
            scope=scope_raw(made.scope),
            words=describe(made.scope),
            widenings=tuple(
                wire.WideningRow(grant=one.grant, path=one.path, what=one.what, why=one.why, broad=one.broad)
                for one in made.widenings
            ),
            calls=made.calls,
            agent=found.agent,
            within=isinstance(within, Covers),
            outside=within.sentences if isinstance(within, NotCovers) else (),
            unread=found.unread,
        )

    return await daemon.read(read)
