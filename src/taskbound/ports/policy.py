"""Ports of policies: the engine, and the kept bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.policy import (
        InForce,
        PolicyAnswer,
        PolicyProblem,
        PolicyReads,
        PolicyRequest,
        PolicyTool,
        PolicyTrace,
    )
    from taskbound.core.policy.operation import Operation, OperationRequest


class OperationRules(Protocol):
    """Evaluates what one bundle says of operations of our own API.

    MUST do for operations what `PolicyEngine` does for calls: name all that matched and all that erred, and
    never raise for what a request holds.
    """

    @property
    def known(self) -> bool:
        """Whether the base within the bundle says who may ask for operations."""

    @property
    def words(self) -> Mapping[str, str]:
        """What each policy says to those whom it meets, by its name; those that say nothing are missing."""

    @property
    def every(self) -> frozenset[str]:
        """Names of the policies that can be about operations."""

    @property
    def unfit(self) -> Mapping[str, str]:
        """Why some of these can't be put in force, by name: they would refuse what nobody meant."""

    def reads(self, operation: Operation) -> frozenset[str] | None:
        """The facts that its policies read of this operation; none when only the base has any about it.

        Then the answer MUST depend on the kind of the principal alone.
        """

    def looked_at(self, request: OperationRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The policies whose heads fit this request, and the facts that they read of it, for explaining."""

    def answer(self, request: OperationRequest) -> PolicyAnswer:
        """What the bundle says to this request."""


class PolicyEngine(Protocol):
    """Evaluates one bundle.

    MUST name every policy that matched and every policy that erred. MUST answer
    the same for the same request and bundle. A request that it can't evaluate at
    all is answered with `erred`, never with an exception and never as a permit.
    A policy that reads an argument which can't be told to it MUST be among `erred`,
    with the argument's name. Policies that can't apply need not be asked.
    """

    @property
    def bundle(self) -> str:
        """Digest of the bundle."""

    @property
    def reads(self) -> frozenset[str]:
        """Names of the facts that its policies read (a subset of `taskbound.core.policy.FACTS`)."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of its policies, in their order."""

    @property
    def lifters(self) -> frozenset[str]:
        """Every lifter that a policy of it names, whether it can apply or not."""

    @property
    def operations(self) -> OperationRules:
        """What it says of operations."""

    def reads_of(self, namespace: str, agent: str, tool: str, server: str) -> PolicyReads:
        """What can change the answer for this agent and tool. MUST NOT leave anything out."""

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        """What the bundle says to this request."""

    def trace(self, request: PolicyRequest) -> PolicyTrace:
        """What it looks at for this request, for explaining."""


class PolicyLanguage(Protocol):
    """Reads, examines and lays out the rules as people write them; MUST do each in bounded time."""

    def engine(self, text: str, *, digest: str = "") -> PolicyEngine:
        """An engine for this bundle, which calls it by the digest when there is one.

        MUST raise `PolicySyntaxError` for one that can't be read whole.
        """

    def rights(self) -> PolicyEngine:
        """An engine of what comes with Taskbound about operations, and of nothing else."""

    def problems(
        self,
        files: Mapping[str, str],
        tools: Sequence[PolicyTool],
        groups: Collection[str] | None = None,
    ) -> tuple[PolicyProblem, ...]:
        """What is wrong with these files.

        MUST find a name that none of the tools has, and a group that a hold names and that is none of the
        groups; None where they are not known.
        """

    def vocabulary(self, tools: Sequence[PolicyTool]) -> str:
        """What policies for these tools can read, for editors."""

    def formatted(self, text: str) -> str:
        """The same rules in the usual layout. MUST raise `PolicySyntaxError` when they can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBundle:
    """A bundle that somebody proposed."""

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
    """A bundle was put in force."""

    namespace: str
    force: InForce
    how: str
    """`activated`, `rolled-back` or `rebased`."""
    by: str
    at: Instant
    record: int
    """The number of the record that says so."""


class PolicyReader(Protocol):
    """Reads bundles of one namespace at a time."""

    def bundle(self, namespace: str, digest: str) -> StoredBundle | None:
        """The bundle of this digest, as its bytes are kept: whoever uses them compares."""

    def bundles(self, namespace: str) -> tuple[StoredBundle, ...]:
        """Every bundle without its archive, newest first."""

    def in_force(self, namespace: str) -> InForce:
        """What is in force; in an untouched namespace the base alone, epoch 0."""

    def activations(self, namespace: str) -> tuple[BundleActivation, ...]:
        """How that came about, newest first."""

    def governed(self) -> tuple[str, ...]:
        """Every namespace in which a bundle was put in force, in order."""


class PolicyWriter(PolicyReader, Protocol):
    """Writes them; nothing is ever changed but what is in force."""

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> InForce:
        """What is in force, locked against change until the end of the transaction.

        Who `moves` it MUST wait for all others that hold it, and its records MUST come behind theirs.
        """

    def insert_bundle(self, bundle: StoredBundle) -> None:
        """Keep it. MUST raise `ConflictError` when there is one of its digest."""

    def put_in_force(self, activation: BundleActivation, *, expect: int) -> None:
        """Make it what is in force. MUST raise `ConflictError` when the epoch there is not `expect`."""
