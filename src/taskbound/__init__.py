"""Taskbound authorizes AI agents one action at a time, against a declared task.

What a program uses is loaded when it is asked for (PEP 562): `import taskbound` loads nothing else. The types
are in `__init__.pyi`.
"""

from importlib import import_module

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

__version__ = "0.1.0"

_GUARD = "taskbound.sdk.guard"
_PLACES = {
    "AsyncClient": "taskbound.wiring.agent",
    "Carried": f"{_GUARD}.carried",
    "Client": "taskbound.wiring.agent",
    "Guarded": f"{_GUARD}.guarded",
    "Proof": f"{_GUARD}.proof",
    "SubjectToken": f"{_GUARD}.proof",
    "TaskHandle": f"{_GUARD}.speaker",
    "TaskboundError": "taskbound.core.errors",
    "acarry": f"{_GUARD}.carried",
    "carry": f"{_GUARD}.carried",
    "guard": f"{_GUARD}.guarded",
}


def __getattr__(name: str) -> object:
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module `taskbound` has no `{name}`")
    found: object = getattr(import_module(_PLACES.get(name, f"{_GUARD}.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__]
