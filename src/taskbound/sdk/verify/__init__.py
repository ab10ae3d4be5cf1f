"""Verifies requests with a transaction token in a service, without I/O or third-party packages.

`Verifier` is the core; `asgi`, `wsgi` and `function` are shells (`taskbound.wiring.guarding`: `services`).
"""

from __future__ import annotations

from taskbound.sdk.verify.endpoint import Body, Endpoint, Endpoints
from taskbound.sdk.verify.holder import WHOEVER_HAS_IT, Holders
from taskbound.sdk.verify.keys import IssuerKeys, Said
from taskbound.sdk.verify.refused import Refused, Step, challenge, problem
from taskbound.sdk.verify.status import Asking, Status
from taskbound.sdk.verify.verifier import Accepted, Head, Opened, Outcome, Service, Verifier

__all__ = [
    "WHOEVER_HAS_IT",
    "Accepted",
    "Asking",
    "Body",
    "Endpoint",
    "Endpoints",
    "Head",
    "Holders",
    "IssuerKeys",
    "Opened",
    "Outcome",
    "Refused",
    "Said",
    "Service",
    "Status",
    "Step",
    "Verifier",
    "challenge",
    "problem",
]
