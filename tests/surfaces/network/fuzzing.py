"""schemathesis before a real API: requests made from its description, each with a proof of its own.

1. What is asked is made from the description that is served: a new route is asked without a word here.
2. The tool remembers names that answers had and asks for them again: it reaches more than "there is none".
3. The token and its proof are made for each request as it is sent. That every route asks for one is another
   test's; the description without it is what is fuzzed.
4. What this world has no process for is not asked: no rounds give records a place here, and what waits for
   one would wait.
5. Whoever asks stays: the person whose token is shown does not leave, and an agent does not end its task.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from taskbound.surfaces.http.rate import Buckets
from taskbound.surfaces.network.openapi import describe
from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.holding import HOST
from tests.token_world import ISSUER

LEFT_OUT = {
    "ignored_auth": "shows nothing to a route by itself; `test_requests` asks every route without a proof",
    "positive_data_acceptance": "what is said well is still refused where a flow refuses it",
    "use_after_free": "needs links between operations, of which the description has none",
    "ensure_resource_availability": "the same",
    "object_level_authorization": "needs a second person whose things are known to the tool",
}
"""Checks that are not asked, and why."""


@dataclass
class Fuzzed:
    """What was asked, and what was found."""

    asked: int = 0
    before: int = 0
    """Records that there were before."""
    routes: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    found: list[str] = field(default_factory=list)


class _Shows:
    """Shows a token with a fresh proof of the request as it is sent (rule 3)."""

    def __init__(self, act: Acting, token: Callable[[], str]) -> None:
        self.act, self.token = act, token
        self.count = 0

    def __call__(self, request: Any) -> Any:
        """The request as `requests` is about to send it, with what proves it."""
        self.count += 1
        token = self.token()
        request.headers["Authorization"] = f"DPoP {token}"
        request.headers["DPoP"] = proof(
            CLIENT,
            jti=f"fuzz-{self.count}",
            htm=str(request.method),
            htu=ISSUER + urlsplit(str(request.url)).path,
            iat=self.act.world.clock.now() // 1_000_000,
            ath=token_hash(token),
        )
        return request


def fuzz(
    act: Acting,
    token: Callable[[], str],
    *,
    examples: int,
    coverage: bool = False,
    seed: int = 6,
    without: Collection[str] = (),
) -> Fuzzed:
    """Ask every route.

    Args:
        act: The API, and who asks.
        token: What is shown.
        examples: Requests of each kind (right, wrong) for one operation, at most.
        coverage: Whether each constraint of the description is broken by itself, too.
        seed: Says which requests are made.
        without: Paths that are not asked: what would end who asks (rule 5).
    """
    _settle(act)
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": f"http://{act.there.host}",
            "headers": {"Host": HOST},
            "generation": {
                "max-examples": examples,
                "database": "none",
                "mode": "all",
                "deterministic": True,
            },
            "phases": {
                "examples": {"enabled": False},
                "coverage": {"enabled": coverage},
                "fuzzing": {"enabled": True},
                "stateful": {"enabled": False},
            },
            "checks": {name: {"enabled": False} for name in LEFT_OUT},
        }
    )
    schema = schemathesis.openapi.from_dict(_described(without), config=config)
    fuzzed = Fuzzed(before=len(act.world.records()))
    with _shown(_Shows(act, token)):
        for event in engine.from_schema(schema).execute():
            _take(event, fuzzed)
    return fuzzed


@contextmanager
def _shown(shows: _Shows) -> Iterator[None]:
    """Have each request show a token; the tool knows such a hook for all its runs at once only."""

    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        del context
        if case.operation.label.endswith("/leave") and case.path_parameters.get("name") == "ann":
            case.path_parameters["name"] = "nobody"  # 5
        kwargs["auth"] = shows

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


def _take(event: object, fuzzed: Fuzzed) -> None:
    if isinstance(event, events.NonFatalError | events.FatalError):
        fuzzed.found.append(str(event))
    if not isinstance(event, events.ScenarioFinished):
        return
    recorder = event.recorder
    fuzzed.asked += len(recorder.interactions)
    for one in recorder.interactions.values():
        fuzzed.routes.add(recorder.label)
        if one.response is not None:
            fuzzed.statuses.add(one.response.status_code)
    for name, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                sent = recorder.interactions[name].request
                words = f"{check.name}: {check.failure_info.failure} ({sent.method} {sent.uri} {sent.body!r})"
                fuzzed.found.append(words)


def _described(without: Collection[str]) -> dict[str, Any]:
    """The description as it is fuzzed (rules 3 and 4)."""
    found: dict[str, Any] = json.loads(describe(ISSUER))
    del found["security"], found["components"]["securitySchemes"], found["paths"]["/v1/audit/proof"]
    for path in without:
        del found["paths"][path]
    tail = found["paths"]["/v1/audit/tail"]["get"]["parameters"]
    tail[:] = [one for one in tail if one["name"] != "wait"]
    return found


def _settle(act: Acting) -> None:
    """Have the daemon be complete: keys of agents and tokens, a name of the log, no server of a story's."""
    daemon = act.one.place.daemon
    daemon.agent_keys, daemon.log_key = act.keys, "log"
    daemon.token.keys, daemon.token.published = act.one.tokens.keys, act.one.tokens.published
    daemon.network.showings.paces = Buckets(burst=10**9, each_second=1.0, clock=time.monotonic)
    gone = act.one.ask("DELETE", "/v1/upstreams/bank", act.one.person())
    assert gone.status == 200, gone.body
