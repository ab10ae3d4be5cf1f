from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.errors import (
    CallUndecidedError,
    HeldError,
    HoldDeniedError,
    HoldOverError,
    NarrowedError,
    OutcomeUntoldError,
    RefusedError,
    RepeatedError,
    ResultWithheldError,
    SignatureError,
    TaskNotEndedError,
    TaskNotStartedError,
    UnpinnedToolError,
)
from taskbound.sdk.guard.guarded import Guarded, guard
from taskbound.sdk.guard.proof import Proof, SubjectToken
from taskbound.sdk.guard.told import TaskHandle
from taskbound.wiring.agent import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "CallUndecidedError",
    "Client",
    "Guarded",
    "HeldError",
    "HoldDeniedError",
    "HoldOverError",
    "NarrowedError",
    "OutcomeUntoldError",
    "Proof",
    "RefusedError",
    "RepeatedError",
    "ResultWithheldError",
    "SignatureError",
    "SubjectToken",
    "TaskHandle",
    "TaskNotEndedError",
    "TaskNotStartedError",
    "TaskboundError",
    "UnpinnedToolError",
    "__version__",
    "guard",
]
__version__: str
