"""A service that verifies, with real claims and signatures, an issuer's keys, and what was heard of ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from taskbound.adapters.claims import SqliteClaims
from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.action import Frame, make_action
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.revocation import FeedEvent, Thing
from taskbound.core.token.shared import ServedAnswer
from taskbound.sdk import verify
from taskbound.sdk.verify.holder import Holding
from taskbound.sdk.verify.keys import content_digest
from tests.tokens import NOW, Signer, es256

ISSUER = "https://as.example"
DOMAIN = "corp.example"
BODY = b'{"account":"7","cents":300}'
TOOL = "bank__pay"
PAY = verify.Endpoint(tool=TOOL)
DEFINITION = "d" * 64
FRAME = Frame(
    namespace="default", task="tsk_1", agent="coder", tool=TOOL, server="e" * 64, definition=DEFINITION
)


class EndedError(DeniedError):
    code = "test-ended"


class StaleError(UnavailableError):
    code = "test-stale"


class Feed:
    """What was heard; fresh until it is said not to be."""

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace
        self.ended: dict[Thing, FeedEvent] = {}
        self.fresh = True

    def say(self, thing: Thing, turn: FeedEvent) -> None:
        self.ended[thing] = turn

    def require_clear(self, things: Sequence[Thing]) -> None:
        if not self.fresh:
            raise StaleError("what was heard is too old")
        for one in things:
            if one in self.ended:
                raise EndedError(f"the {one.about.value} is {self.ended[one].value}")


class Place:
    """One service."""

    def __init__(
        self,
        folder: Path,
        *,
        holding: Holding = verify.WHOEVER_HAS_IT,
        name: str = "payments",
        namespace: str = "default",
    ) -> None:
        self.at = Instant(seconds(NOW))
        self.signer = es256("key-1")
        self.published: list[Signer] = [self.signer]
        self.fetched = 0
        self.unreachable = False
        self.feed = Feed(namespace)
        self.claims = SqliteClaims(folder / "claims" / "claims.db")
        self.keys = verify.IssuerKeys(self.fetch, self.now)
        self.service = verify.Service(
            name=name, issuer=ISSUER, domain=DOMAIN, holding=holding, namespace=namespace
        )
        self.verifier = self.verifying(status=self.feed)

    def close(self) -> None:
        self.claims.close()

    def verifying(
        self, *, status: verify.Status | None = None, asking: verify.Asking | None = None
    ) -> verify.Verifier:
        """What verifies with this knowledge of what ended."""
        return verify.Verifier(
            self.service,
            keys=self.keys,
            check=JoserfcCheck(),
            claims=self.claims,
            clock=self.now,
            status=status,
            asking=asking,
        )

    def now(self) -> Instant:
        return self.at

    def later(self, count: int) -> None:
        self.at = Instant(self.at + seconds(count))

    def fetch(self) -> bytes:
        self.fetched += 1
        if self.unreachable:
            raise ConnectionRefusedError
        return json.dumps({"keys": [one.members for one in self.published]}).encode()

    def token(self, body: bytes = BODY, *, signer: Signer | None = None, **claims: Any) -> str:
        """A token of a permit for this body; `tctx_NAME` is a member of `tctx`, and `...` leaves one out."""
        now = self.at // 1_000_000
        txn = claims.pop("txn", "act_1")
        context: dict[str, Any] = {
            "namespace": "default",
            "task": "tsk_1",
            "action": txn,
            "action_digest": make_action(
                namespace=claims.get("tctx_namespace", "default"),
                task="tsk_1",
                agent="coder",
                tool=TOOL,
                server="e" * 64,
                definition=DEFINITION,
                arguments=json.loads(BODY),
            ).digest,
            "tool": TOOL,
            "target": "e" * 64,
            "definition": DEFINITION,
            "content_digest": content_digest(body),
            "ancestors": [],
        }
        context |= {
            name.removeprefix("tctx_"): claims.pop(name) for name in list(claims) if name.startswith("tctx_")
        }
        plain: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "person:ann",
            "aud": DOMAIN,
            "iat": now,
            "exp": now + 30,
            "jti": "tok_1",
            "txn": txn,
            "scope": TOOL,
            "req_wl": "agent:coder",
            "act": {"sub": "agent:coder"},
            "tctx": {name: value for name, value in context.items() if value is not ...},
        }
        return (signer or self.signer).token("txntoken+jwt", **(plain | claims))

    def opened(
        self, *tokens: str, endpoint: verify.Endpoint = PAY, **head: Any
    ) -> verify.Opened | verify.Refused:
        plain: dict[str, Any] = {"method": "POST", "path": "/pay"}
        return self.verifier.open(verify.Head(tokens=tokens, **(plain | head)), endpoint)

    def outcome(
        self, *tokens: str, body: bytes = BODY, endpoint: verify.Endpoint = PAY, **head: Any
    ) -> verify.Outcome:
        found = self.opened(*tokens, endpoint=endpoint, **head)
        return found if isinstance(found, verify.Refused) else self.verifier.take(found, body)

    def why(self, *tokens: str, **more: Any) -> tuple[int, str, str]:
        """How a request is refused: the status, the code and what is missing."""
        found = self.outcome(*tokens, **more)
        assert isinstance(found, verify.Refused), found
        return found.status, found.error.code, found.missing

    def accepted(self, *tokens: str, **more: Any) -> verify.Accepted:
        found = self.outcome(*tokens, **more)
        assert isinstance(found, verify.Accepted), found
        return found


@contextmanager
def full(place: Place) -> Iterator[None]:
    """No claim can be written meanwhile."""
    connection = place.claims._connection()  # noqa: SLF001 - what a full disk does to it
    connection.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        connection.execute("PRAGMA query_only = 0")


def answer(body: bytes = b"paid", status: int = 200) -> ServedAnswer:
    """An answer that is kept whole."""
    return ServedAnswer(
        status=status, headers=(("Content-Type", "text/plain"),), digest="f" * 64, length=len(body), body=body
    )


Places: TypeAlias = Callable[..., Place]
"""Makes a service, as `Place` does, and closes it with the test."""
