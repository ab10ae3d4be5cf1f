"""Policies: the engine, and stored bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.policy import (
        ActiveBundle,
        PolicyAnswer,
        PolicyProblem,
        PolicyReads,
        PolicyRequest,
        PolicyTool,
        PolicyTrace,
    )
    from taskbound.core.policy.operation import Operation, OperationRequest


class OperationRules(Protocol):
    """MUST name all policies that matched and all that erred, and never raise because of a request."""

    @property
    def known(self) -> bool:
        pass

    @property
    def words(self) -> Mapping[str, str]:
        pass

    @property
    def every(self) -> frozenset[str]:
        pass

    @property
    def unfit(self) -> Mapping[str, str]:
        """Returns, by name, why some policies cannot be activated: they would refuse too much."""

    def reads(self, operation: Operation) -> frozenset[str] | None:
        """Returns the facts read; None if only the base has any, MUST then use only the principal's kind."""

    def looked_at(self, request: OperationRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
        pass

    def answer(self, request: OperationRequest) -> PolicyAnswer:
        pass


class PolicyEngine(Protocol):
    """Evaluates one bundle.

    MUST name every policy that matched and every one that erred, and be deterministic. A request that cannot
    be evaluated gives `erred`, never an exception or a permit. A policy that reads an untellable argument
    MUST be among `erred`, with the argument's name. Inapplicable policies may be skipped.
    """

    @property
    def bundle(self) -> str:
        pass

    @property
    def reads(self) -> frozenset[str]:
        """Returns the facts that its policies read (a subset of `taskbound.core.policy.FACTS`)."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Returns its policies' names, in order."""

    @property
    def lifters(self) -> frozenset[str]:
        pass

    @property
    def operations(self) -> OperationRules:
        pass

    def reads_of(self, namespace: str, agent: str, tool: str, server: str) -> PolicyReads:
        """Returns all that can change the answer for this agent and tool. MUST be complete."""

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        pass

    def trace(self, request: PolicyRequest) -> PolicyTrace:
        pass


class PolicyLanguage(Protocol):
    """Parses, checks and formats rules, each in bounded time."""

    def engine(self, text: str, *, digest: str = "") -> PolicyEngine:
        """Returns an engine for this text; MUST raise `PolicySyntaxError` if it cannot be read whole."""

    def rights(self) -> PolicyEngine:
        """Returns an engine of Taskbound's own rules for operations only."""

    def problems(
        self,
        files: Mapping[str, str],
        tools: Sequence[PolicyTool],
        groups: Collection[str] | None = None,
    ) -> tuple[PolicyProblem, ...]:
        """MUST find unknown tool names, and groups of holds that do not exist (None skips this check)."""

    def vocabulary(self, tools: Sequence[PolicyTool]) -> str:
        pass

    def formatted(self, text: str) -> str:
        """Returns the formatted rules. MUST raise `PolicySyntaxError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A proposed bundle."""

    namespace: str
    digest: str
    archive: bytes
    """Its kept form; empty where only its row was asked for."""
    author: str
    at: Instant
    note: str
    record: int
    """The number of the record in which its author stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleActivation:
    """The activation of a bundle."""

    namespace: str
    force: ActiveBundle
    how: str
    """`activated`, `rolled-back` or `rebased`."""
    by: str
    at: Instant
    record: int
    """The number of the record that says so."""


class PolicyReader(Protocol):
    """Reads bundles, per namespace."""

    def bundle(self, namespace: str, digest: str) -> StoredBundle | None:
        """Returns the bundle as stored; callers must check its digest."""

    def bundles(self, namespace: str) -> tuple[StoredBundle, ...]:
        """Returns every bundle without archive, newest first."""

    def in_force(self, namespace: str) -> ActiveBundle:
        """Returns the bundle in force, the base alone with epoch 0 if none."""

    def activations(self, namespace: str) -> tuple[BundleActivation, ...]:
        """Returns activations, newest first."""

    def governed(self) -> tuple[str, ...]:
        """Returns every namespace with an activation, in order."""


class PolicyWriter(PolicyReader, Protocol):
    """Writes bundles and activations."""

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> ActiveBundle:
        """With `moves` it MUST wait for all other holders, and its records MUST follow theirs."""

    def insert_bundle(self, bundle: StoredBundle) -> None:
        """Inserts. MUST raise `ConflictError` for an existing digest."""

    def put_in_force(self, activation: BundleActivation, *, expect: int) -> None:
        """Activates. MUST raise `ConflictError` if the epoch is not `expect`."""
