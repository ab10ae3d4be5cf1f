"""The policy engine of the bundle in force, and replays of recorded actions under another.

The newest activation counts if its record in the log confirms it, and the bundle if its digest and its
author's record do. Otherwise the namespace is damaged and nothing is decided there; the base alone never
takes over.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    PolicyActivated,
    PolicyProposed,
    PolicyRebased,
    PolicyRolledBack,
    leaf_hash,
    parse_record,
    prove_inclusion,
    verify_inclusion,
)
from taskbound.core.audit.merkle import TileNodes
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.policy import (
    BASE_FILE,
    ActiveBundle,
    DamagedBundleError,
    PolicyBundle,
    PolicySyntaxError,
    bundle_digest,
    conclude,
    pack,
    unpack,
    words_of,
)
from taskbound.core.scope import NotCovered
from taskbound.flows.action.explain import (
    NotReplayable,
    complete_request,
    edited,
    fact_lines,
    rebuild_request,
    replayed_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskbound.core.audit import Event
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.policy import BundleActivation, PolicyEngine, PolicyLanguage
    from taskbound.ports.store import Snapshot, Store


_ENGINES: Final = 16
_SURE: Final = 4096


class Policies:
    """Policy engines by bundle; thread-safe."""

    def __init__(self, store: Store, language: PolicyLanguage, base: str) -> None:
        self._store = store
        self.language = language
        self.base_text = base
        alone = pack(PolicyBundle(files={BASE_FILE: base}))
        self.base: PolicyEngine = language.engine(base, digest=bundle_digest(alone))
        """The engine of the base alone."""
        self.rights: PolicyEngine = language.rights()
        """What comes with Taskbound about operations, for bundles whose base doesn't know them."""
        self.moves = 0
        """How often this process changed what is in force, for those who remember that."""
        self._guard = threading.Lock()
        self._sure: dict[tuple[str, ActiveBundle], PolicyEngine] = {}
        self._whole: set[tuple[str, str]] = set()
        self._engines: OrderedDict[str, PolicyEngine] = OrderedDict()

    def digest_of(self, force: ActiveBundle) -> str:
        return force.digest or self.base.bundle

    def at(self, namespace: str, force: ActiveBundle) -> PolicyEngine:
        known = self._sure.get((namespace, force))
        if known is None:
            with self._store.read() as snapshot:
                require_activation(snapshot, namespace, force)
                known = self.engine(snapshot, namespace, force.digest)
            if len(self._sure) >= _SURE:
                self._sure.clear()
            self._sure[namespace, force] = known
        return known

    def engine(self, snapshot: Snapshot, namespace: str, digest: str) -> PolicyEngine:
        """Returns the engine of a stored bundle, of the base alone for ''; raises DamagedBundleError."""
        if digest in {"", self.base.bundle}:
            return self.base
        place = (namespace, digest)
        with self._guard:
            known = self._engines.get(digest)
            if known is not None and place in self._whole:
                return known
        bundle = require_bundle(snapshot, namespace, digest)
        made = known or self.make(bundle, digest)
        with self._guard:
            known = self._engines.setdefault(digest, made)
            if len(self._engines) > _ENGINES:
                self._engines.popitem(last=False)
            if len(self._whole) >= _SURE:
                self._whole.clear()
            self._whole.add(place)
        return known

    def make(self, bundle: PolicyBundle, digest: str) -> PolicyEngine:
        try:
            return self.language.engine(bundle.text, digest=digest)
        except PolicySyntaxError as error:
            raise DamagedBundleError(f"policy bundle `{digest}` can't be read: {error.message}") from error


def require_bundle(snapshot: Snapshot, namespace: str, digest: str) -> PolicyBundle:
    """Returns the bundle as its author proposed it; raises DamagedBundleError."""
    kept = snapshot.policy.bundle(namespace, digest)
    if kept is None:
        raise DamagedBundleError(f"policy bundle `{digest}` is not kept here")
    bundle = unpack(kept.archive, digest)
    match recorded(snapshot, namespace, kept.record):
        case PolicyProposed(bundle=said, by=author) | PolicyRebased(bundle=said, author=author):
            if (said, author) == (digest, kept.author):
                return bundle
        case PolicyRolledBack(bundle=said) if said == digest:
            return bundle
        case _:
            pass
    raise DamagedBundleError(
        f"no record in the log says that `{kept.author}` proposed policy bundle `{digest}`"
    )


def require_activation(snapshot: Snapshot, namespace: str, force: ActiveBundle) -> None:
    """Raises DamagedBundleError unless the log confirms the activation and no later rows differ."""
    found = snapshot.policy.activations(namespace)
    if snapshot.policy.in_force(namespace) != (found[0].force if found else ActiveBundle()):
        raise DamagedBundleError("what is in force is not what was put in force last: the row was changed")
    if force == ActiveBundle():
        return
    if force in believed(snapshot, namespace, [one for one in found if one.force == force]):
        return
    raise DamagedBundleError(
        f"no record in the log says that policy bundle `{force.digest or 'base'}` was put in force"
    )


def believed(snapshot: Snapshot, namespace: str, rows: Iterable[BundleActivation]) -> list[ActiveBundle]:
    """Returns the activations among these rows that the log confirms, in order."""
    found: list[ActiveBundle] = []
    for one in rows:
        match recorded(snapshot, namespace, one.record):
            case (
                PolicyActivated(bundle=digest, epoch=epoch)
                | PolicyRolledBack(bundle=digest, epoch=epoch)
                | PolicyRebased(bundle=digest, epoch=epoch)
            ) if ActiveBundle(epoch=epoch, digest=digest) == one.force:
                found.append(one.force)
            case _:
                pass
    return found


def recorded(snapshot: Snapshot, namespace: str, number: int) -> Event | None:
    """Returns the event of the record with this number; None if it is not in the log."""
    found = snapshot.audit.numbered(number)
    if found is None:
        return None
    checkpoint = snapshot.audit.checkpoint()
    try:
        if found.place is not None and checkpoint is not None and found.place < checkpoint.size:
            proof = prove_inclusion(found.place, checkpoint.size, TileNodes(snapshot.audit.tile))
            verify_inclusion(leaf_hash(found.body), found.place, checkpoint.size, proof, checkpoint.root)
        record = parse_record(found.body)
    except (MalformedError, DeniedError):
        return None
    return record.event if record.namespace == namespace else None


_MOST: Final = 10_000
_PAGE: Final = 200


class BadReplayError(MalformedError):
    """The number of actions to replay is out of range."""

    code = "bad-replay"
    remedy = f"replay 1 to {_MOST} actions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An action that would have been answered differently."""

    action: str
    agent: str
    tool: str
    was: str
    would: str
    """In words, with the policies that decide."""
    facts: str
    """As they were recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The result of a replay."""

    asked: int
    same: int
    beside: int
    """How many policy did not decide."""
    differences: tuple[Difference, ...]
    not_asked: tuple[tuple[str, int], ...]
    """By reason: how many could not be asked again."""


def replay(adapters: Adapters, namespace: str, engine: PolicyEngine, last: int) -> Replay:
    """Replays up to `last` newest actions under this engine on one snapshot; slow."""
    if not 1 <= last <= _MOST:
        raise BadReplayError(f"{last} actions are not replayed")
    now = adapters.clock.now()
    asked = same = beside = 0
    differences: list[Difference] = []
    missed: Counter[str] = Counter()
    with adapters.store.read() as snapshot:
        for kept in _newest(snapshot, namespace, last):
            asked += 1
            if edited(snapshot, kept, now):
                missed["its row was changed"] += 1
                continue
            found = _ask(snapshot, kept, engine)
            match found:
                case Difference():
                    differences.append(found)
                case None:
                    beside += 1
                case "":
                    same += 1
                case str() as reason:
                    missed[reason] += 1
    return Replay(
        asked=asked,
        same=same,
        beside=beside,
        differences=tuple(differences),
        not_asked=tuple(sorted(missed.items())),
    )


def _ask(snapshot: Snapshot, kept: StoredAction, engine: PolicyEngine) -> Difference | str | None:
    again = rebuild_request(snapshot, kept)
    if isinstance(again, NotReplayable):
        return None if again.of_standing else again.why
    if kept.code == "outside-scope":
        return None
    if isinstance(again.covered, NotCovered):
        return "its scope does not cover it now"
    request = complete_request(again, engine)
    if isinstance(request, tuple):
        return f"the bundle reads what was not recorded: {', '.join(request)}"
    conclusion = conclude(engine.answer(request))
    if replayed_answer(conclusion, again) == (kept.decision, kept.code):
        return ""
    return Difference(
        action=kept.id,
        agent=kept.agent,
        tool=kept.tool,
        was=f"{kept.decision} ({kept.code})" if kept.code else kept.decision,
        would=words_of(conclusion),
        facts=fact_lines(again),
    )


def _newest(snapshot: Snapshot, namespace: str, last: int) -> Iterator[StoredAction]:
    before = ""
    while last:
        page = snapshot.actions.actions(namespace, limit=min(last, _PAGE), before=before)
        if not page:
            return
        yield from page
        before = page[-1].id
        last -= len(page)
