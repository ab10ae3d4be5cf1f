"""A target as a person declares it, and what a broker's telling comes to, without a broker."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.keys.sealing import SealingKey, seal
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    Credential,
    begin_mint,
    begin_revocation,
    end_credential,
    leave_credential,
    prove_gone,
    show_credential,
)
from taskbound.core.target import parse_target_file
from taskbound.core.tool import ADMIN_SLOT, Binding
from taskbound.flows.identity import Groups, register_person
from taskbound.flows.target import Targets, note_canary
from tests.core.credential.crediting import made
from tests.peers.people import OWNER, actor_of
from tests.world import ANN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.credential import CredentialState
    from taskbound.flows.means import Actor
    from taskbound.flows.target import UnderTest
    from taskbound.ports.store import Store, Transaction
    from taskbound.ports.target import StoredTarget
    from taskbound.ports.tool import PinnedTool

KEY: Final = SealingKey.generate()
FILE: Final[dict[str, Any]] = {
    "target": "orders-db",
    "kind": "postgres",
    "where": {"host": "127.0.0.1", "database": "orders"},
    "owner": "bob",
    "approvers": ["carol"],
    "credentials": {
        "reader": {
            "for": "Reads orders of one tenant.",
            "group": "readers",
            "seconds": 900,
            "effect": "read",
            "context": ["tenant"],
        },
        "clerk": {"for": "Books orders.", "group": "clerks", "seconds": 30},
    },
}
TOOLS: Final = ("orders-db__credential/clerk", "orders-db__credential/reader")


def declared(**changes: Any) -> dict[str, Any]:
    """The file with other members."""
    return deepcopy(FILE) | changes


def sealed_for(file: dict[str, Any], *, namespace: str = "default", number: int = 1, **other: Any) -> str:
    """An admin access, sealed for this target or for what else is said."""
    binding = {
        "namespace": namespace,
        "server": file["target"],
        "identity": parse_target_file(file).identity(namespace),
        "slot": ADMIN_SLOT.text,
        "number": number,
    }
    return seal("postgresql://admin:hunter2@/", Binding(**binding | other), public=KEY.public)


class Aiming:
    """A world in which people declare targets, and something tells what a broker would."""

    def __init__(self, world: World) -> None:
        self.world, self.adapters = world, world.adapters
        self.targets = Targets(self.adapters, self.world.views)
        self.quiet = False
        """Whether moves are told to no test."""

    def known(self, *names: str, first: int = 1000) -> None:
        for number, name in enumerate(names):
            register_person(self.adapters, "default", name, uid=first + number, actor=ANN)

    def group(self, name: str, *members: str) -> None:
        groups = Groups(self.adapters)
        groups.add("default", name, OWNER, owns=True)
        for one in members:
            groups.set_member("default", name, one, member=True, actor=OWNER, owns=True)

    def add(
        self,
        file: dict[str, Any] | None = None,
        *,
        sealed: str = "",
        actor: Actor = OWNER,
        owns: bool = True,
        namespace: str = "default",
    ) -> UnderTest:
        whole = FILE if file is None else file
        return self.targets.add(
            namespace,
            json.dumps(whole).encode(),
            sealed or sealed_for(whole, namespace=namespace),
            actor,
            owns=owns,
        )

    def row(self, name: str = "orders-db", namespace: str = "default") -> StoredTarget:
        with self.adapters.store.read() as seen:
            found = seen.targets.target(namespace, name)
        assert found is not None
        return found

    def canaries(self, test: UnderTest, namespace: str = "default") -> list[Credential]:
        with self.adapters.store.read() as seen:
            found = [seen.credentials.credential(namespace, one) for one in test.credentials]
        return [one for one in found if one is not None]

    def tools(self, namespace: str = "default") -> dict[str, PinnedTool]:
        with self.adapters.store.read() as seen:
            return {one.name: one for one in seen.tools.tools(namespace, server="orders-db")}

    def named(self) -> dict[str, tuple[str, ...]]:
        with self.adapters.store.read() as seen:
            return {name: who for name, who in seen.tools.approvers("default").items() if name in TOOLS}

    def move(self, credential: str, change: Callable[[Credential, Instant], Credential]) -> Credential:
        """Move a row as the worker does that a broker tells."""
        return self.adapters.store.write(partial(self._move, credential, change))

    def _move(
        self, credential: str, change: Callable[[Credential, Instant], Credential], tx: Transaction
    ) -> Credential:
        before = tx.credentials.lock_credential("default", credential)
        assert before is not None
        now = self.adapters.clock.now()
        after = change(before, now)
        tx.credentials.put_credential(after, expect=before.version)
        if not self.quiet and (events := note_canary(tx, self.adapters, after, now)):
            tx.audit.append("default", self.adapters.writer, events, now)
        self.world.views.forget()
        return after

    def mint(self, credential: str) -> None:
        self.move(credential, begin_mint)
        self.move(credential, lambda row, now: show_credential(row, row.lease.fence, now))

    def end(self, credential: str, why: str = "it was a canary") -> None:
        self.move(credential, lambda row, now: end_credential(row, why, now))

    def revoke(self, credential: str) -> None:
        self.move(credential, begin_revocation)
        self.move(credential, lambda row, now: prove_gone(row, row.lease.fence, now))

    def leave_open(self, credential: str) -> None:
        self.move(credential, begin_revocation)
        self.move(
            credential,
            lambda row, now: leave_credential(row, row.lease.fence, Instant(now + seconds(60)), now),
        )

    def work(self, test: UnderTest) -> None:
        """All that a broker does about a test, without a hitch."""
        self.work_through(test.credentials)

    def work_through(self, canaries: Iterable[str]) -> None:
        for one in canaries:
            self.mint(one)
            self.end(one)
            self.revoke(one)

    def fail(self, credential: str, why: str = "it could not be minted: no group `clerks`") -> None:
        self.move(credential, begin_mint)
        self.end(credential, why)

    def ready(self, file: dict[str, Any] | None = None) -> UnderTest:
        test = self.add(file)
        self.work(test)
        return test


def aimed(store: Store) -> Aiming:
    """A world of ann, bob and carol."""
    made = Aiming(World(store=store))
    made.known("ann", "bob", "carol")
    return made


def give(aiming: Aiming, letter: str, state: CredentialState, **more: Any) -> Credential:
    """A credential of some task in the target."""
    row = made(id="crd_" + letter * 35, **{"identity": aiming.row().identity, "state": state} | more)
    aiming.adapters.store.write(lambda tx: tx.credentials.insert_credentials([row]))
    return row


BOB = actor_of("bob")
CAROL = actor_of("carol")
