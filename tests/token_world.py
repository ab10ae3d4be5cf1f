"""A world with a signer for tokens: real rows, real keys in a folder, and the gate that reads them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskbound.adapters.keys.file import TokenKeyDirectory, create_token_key_directory
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import Token, TokenKeyState
from taskbound.flows.means import Actor
from taskbound.flows.token.issuing import Issued, Issuing, TaskTokenOrder, Tokens
from taskbound.flows.token.keys import Published, RowSigner, TokenKeys
from taskbound.flows.token.verifying import Verification, Verified
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.policy.operation import Barred, OperationRequest
    from taskbound.core.task import Task
    from taskbound.ports.store import Store
    from taskbound.ports.token import MadeKey, SignedList, TokenSigner

ISSUER = "https://as.example"
API = "https://api.example/"
CODER = Actor(name="coder", proof="key:k by test")
KEY = Binding(kind=BindingKind.DPOP, thumbprint="k" * 43)
OTHER_KEY = Binding(kind=BindingKind.DPOP, thumbprint="o" * 43)


@dataclass
class Watched:
    """The signer, with what happens right before it is asked."""

    signer: TokenSigner
    before: Callable[[], object] = field(default=lambda: None)

    def sign_token(self, namespace: str, token: str) -> str:
        self.before()
        return self.signer.sign_token(namespace, token)

    def sign_status_list(self, number: int) -> SignedList:
        return self.signer.sign_status_list(number)

    def make_key(self) -> MadeKey:
        return self.signer.make_key()

    def destroy_keys(self) -> tuple[str, ...]:
        return self.signer.destroy_keys()

    def look(self, issuer: str) -> None:
        self.signer.look(issuer)


class TokenWorld:
    """Ann, her agent, a running task, and everything that issues and verifies tokens."""

    def __init__(self, store: Store, folder: Path, *, world: World | None = None) -> None:
        self.world = World(store=store) if world is None else world
        self.adapters = self.world.adapters
        path = folder / "token-keys"
        if not path.exists():
            create_token_key_directory(path)
        self.folder = TokenKeyDirectory(path)
        self.signer = Watched(RowSigner(store=store, keys=self.folder, clock=self.world.clock, issuer=ISSUER))
        issuing = Issuing(issuer=ISSUER, domain="corp.example")
        self.keys = TokenKeys(self.adapters, self.signer)
        self.tokens = Tokens(self.adapters, issuing, self.signer, self.keys)
        self.verification = Verification(self.adapters, issuing)
        self.published = Published(self.adapters, self.signer)
        self.refused: list[tuple[Barred, OperationRequest, str]] = []
        """What the rules refused within an exchange, and to which agent."""
        self.unbelieved: list[tuple[str, str, str]] = []
        """What was shown and worth nothing: its form, itself, and why."""

    def close(self) -> None:
        self.folder.close()

    def settle_in(self) -> Task:
        task = self.world.settle_in()
        self.keys.tend()
        return task

    def issue(self, task: Task, **changes: Any) -> Issued:
        plain: dict[str, Any] = {
            "namespace": "default",
            "task": task.id,
            "agent": task.agent,
            "audience": API,
            "binding": KEY,
        }
        return self.tokens.issue_task_token(TaskTokenOrder(**plain | changes), CODER)

    def verify(self, text: str, **changes: Any) -> Verified:
        plain: dict[str, Any] = {"audience": API, "shown": KEY}
        return self.verification.verify(text, **plain | changes)

    def row(self, token: Token) -> Token:
        with self.adapters.store.read() as snapshot:
            found = snapshot.tokens.token(token.namespace, token.id)
        assert found is not None
        return found

    def rows(self) -> tuple[Token, ...]:
        with self.adapters.store.read() as snapshot:
            return snapshot.tokens.tokens("default", limit=1000)

    def kid(self, state: TokenKeyState) -> str:
        (found,) = [one.kid for one in self.keys.all_keys() if one.state is state]
        return found


def claims_in(text: str) -> dict[str, Any]:
    return part(text, 1)


def part(text: str, number: int) -> dict[str, Any]:
    raw = text.split(".")[number]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    return found
