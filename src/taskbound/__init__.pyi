from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.carried import Carried, acarry, carry
from taskbound.sdk.guard.errors import (
    CallUndecidedError,
    HeldError,
    HoldDeniedError,
    HoldOverError,
    NarrowedError,
    NotCarriedError,
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
from taskbound.sdk.guard.speaker import TaskHandle
from taskbound.wiring.agent import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "CallUndecidedError",
    "Carried",
    "Client",
    "Guarded",
    "HeldError",
    "HoldDeniedError",
    "HoldOverError",
    "NarrowedError",
    "NotCarriedError",
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
    "acarry",
    "carry",
    "guard",
]
__version__: str
