"""One intended act, from raw bytes to one digest: what an agent wants to do, and nothing else.

The gate is `parse_document` (bytes to a value, or one named error); the name of an act is its
digest (`make_action`); what hides in its text is flagged (`flag_text`) and shown as escapes
(`escape_text`); where it stands is `ActionState`.
"""

from __future__ import annotations

from taskbound.core.action.canonical import MAX_INTEGER, JsonValue, canonical, members
from taskbound.core.action.digest import ACTION_VERSION, Action, Frame, make_action
from taskbound.core.action.errors import (
    ByteOrderMarkError,
    DuplicateKeyError,
    EmptyDocumentError,
    LoneSurrogateError,
    NotAnObjectError,
    NotFiniteError,
    NotJsonError,
    NotUtf8Error,
    NumberRangeError,
    TooDeepError,
    TooLargeError,
    TooManyPartsError,
    TrailingDataError,
    UnwritableError,
)
from taskbound.core.action.parse import LIMITS, Limits, parse_document, parse_object
from taskbound.core.action.state import (
    ACTION_TRANSITIONS,
    BEGINNINGS,
    GIVES_BACK,
    TERMINAL,
    ActionEvent,
    ActionState,
    CredentialWrittenError,
    Duplicate,
    KeyReusedError,
    KeySyntaxError,
    New,
    Presentation,
    PriorAction,
    PriorAnswer,
    TokenIssuedError,
    advance,
    present,
    require_key,
    require_unsent,
)
from taskbound.core.action.text import UNICODE_VERSION, TextFlag, TextKind, escape_text, flag_text

__all__ = [
    "ACTION_TRANSITIONS",
    "ACTION_VERSION",
    "BEGINNINGS",
    "GIVES_BACK",
    "LIMITS",
    "MAX_INTEGER",
    "TERMINAL",
    "UNICODE_VERSION",
    "Action",
    "ActionEvent",
    "ActionState",
    "ByteOrderMarkError",
    "CredentialWrittenError",
    "Duplicate",
    "DuplicateKeyError",
    "EmptyDocumentError",
    "Frame",
    "JsonValue",
    "KeyReusedError",
    "KeySyntaxError",
    "Limits",
    "LoneSurrogateError",
    "New",
    "NotAnObjectError",
    "NotFiniteError",
    "NotJsonError",
    "NotUtf8Error",
    "NumberRangeError",
    "Presentation",
    "PriorAction",
    "PriorAnswer",
    "TextFlag",
    "TextKind",
    "TokenIssuedError",
    "TooDeepError",
    "TooLargeError",
    "TooManyPartsError",
    "TrailingDataError",
    "UnwritableError",
    "advance",
    "canonical",
    "escape_text",
    "flag_text",
    "make_action",
    "members",
    "parse_document",
    "parse_object",
    "present",
    "require_key",
    "require_unsent",
]
