"""An action and the two digests that identify it (design 4.1).

1. The digest is the SHA-256 of the canonical object of version, kind, namespace, task, agent, tool, server
   identity, tool definition and arguments.
2. The act key is the SHA-256 of the canonical object of kind, namespace, agent, server, tool and arguments.
   It stays the same under another task and after an edit of the tool's description.
3. An action holds the canonical bytes of its arguments. These bytes are judged, shown and forwarded; they are
   never encoded a second time.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical, quote
from taskbound.core.action.errors import LoneSurrogateError
from taskbound.core.action.parse import parse_object, require_shape, require_size
from taskbound.core.action.text import TextFlag, flag_text
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


ACTION_VERSION: Final = 1
"""The version of what stands in a digest; another composition is another version."""

_CONTROL_ESCAPE: Final = re.compile(rb"\\[bfnrtu]")
_DELETE: Final = b"\x7f"
_LONG_ROW: Final = b" " * 40
_SHORT: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything in an action except its arguments: the same for all calls of one tool in one task."""

    namespace: str
    task: str
    agent: str
    tool: str
    """`server__tool`, as everywhere."""
    server: str
    """The digest of the pinned server identity."""
    definition: str
    """The digest of the pinned tool definition."""
    head: bytes = field(init=False, repr=False, compare=False)
    """What stands before the arguments in both canonical objects."""
    action_end: bytes = field(init=False, repr=False, compare=False)
    """What stands behind them in the object of rule 1."""
    act_end: bytes = field(init=False, repr=False, compare=False)
    """What stands behind them in the object of rule 2."""

    def __post_init__(self) -> None:
        agent, namespace, server, tool = map(_name, (self.agent, self.namespace, self.server, self.tool))
        act = b'"namespace":%b,"server":%b,"tool":%b}' % (namespace, server, tool)
        action = b'"definition":%b,"kind":"action","namespace":%b,"server":%b,"task":%b,"tool":%b,%b' % (
            _name(self.definition),
            namespace,
            server,
            _name(self.task),
            tool,
            b'"version":%d}' % ACTION_VERSION,
        )
        object.__setattr__(self, "head", b'{"agent":%b,"arguments":' % agent)
        object.__setattr__(self, "action_end", b"," + action)
        object.__setattr__(self, "act_end", b',"kind":"act",' + act)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A complete action, made by `make_action` or from a frame and canonical bytes."""

    frame: Frame
    arguments: bytes
    """Canonical (rule 3)."""
    digest: str = field(init=False)
    """Rule 1: 64 lowercase hexadecimal digits."""
    act_key: str = field(init=False)
    """Rule 2: 64 lowercase hexadecimal digits."""

    def __post_init__(self) -> None:
        """Computes both digests once; the hashed texts have a common beginning."""
        frame = self.frame
        action = sha256(frame.head + self.arguments)
        act = action.copy()
        action.update(frame.action_end)
        act.update(frame.act_end)
        object.__setattr__(self, "digest", action.hexdigest())
        object.__setattr__(self, "act_key", act.hexdigest())

    @property
    def namespace(self) -> str:
        return self.frame.namespace

    @property
    def task(self) -> str:
        return self.frame.task

    @property
    def agent(self) -> str:
        return self.frame.agent

    @property
    def tool(self) -> str:
        return self.frame.tool

    @property
    def server(self) -> str:
        return self.frame.server

    @property
    def definition(self) -> str:
        return self.frame.definition

    def flags(self) -> tuple[TextFlag, ...]:
        """The hidden or misleading characters in the arguments; plain ASCII is recognized without a scan."""
        if _is_plain(self.arguments):
            return ()
        return flag_text(parse_object(self.arguments))


def make_action(  # noqa: PLR0913 -- seven things make an action, and each has its name here
    *,
    namespace: str,
    task: str,
    agent: str,
    tool: str,
    server: str,
    definition: str,
    arguments: dict[str, JsonValue],
) -> Action:
    """Makes an action; raises a `MalformedError` for arguments that `parse_document` refuses."""
    written = canonical(arguments)
    require_size(written)
    require_shape(written)
    frame = Frame(
        namespace=namespace, task=task, agent=agent, tool=tool, server=server, definition=definition
    )
    return Action(frame=frame, arguments=written)


def _name(text: str) -> bytes:
    return _known_name(text) if len(text) <= _SHORT else _write_name(text)


def _write_name(text: str) -> bytes:
    try:
        return quote(text).encode()
    except UnicodeEncodeError as error:
        raise LoneSurrogateError("a name in the action holds half of a surrogate pair") from error


_known_name: Final = lru_cache(maxsize=1024)(_write_name)
"""The same few names stand in action after action; long ones are not kept."""


def _is_plain(text: bytes) -> bool:
    """Returns whether the text certainly holds nothing that `flag_text` would flag; may err towards False."""
    return (
        text.isascii()
        and _DELETE not in text  # every other control is written as an escape
        and b'" ' not in text  # a string begins with a space
        and b' "' not in text  # or ends with one
        and _LONG_ROW not in text
        and (b"\\" not in text or _CONTROL_ESCAPE.search(text) is None)
    )
