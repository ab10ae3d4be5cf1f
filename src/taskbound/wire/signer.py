"""Requests of the daemon to the signer."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from taskbound.wire.connection import Fault
from taskbound.wire.frame import Message


class Sign(Message, frozen=True, tag="signer:sign", tag_field="op"):
    """Sign a checkpoint."""

    origin: str
    size: int
    root: bytes
    proof: tuple[bytes, ...]
    """Consistency proof from the size that was signed last (RFC 9162 §2.1.4)."""


class LastSigned(Message, frozen=True, tag="signer:last", tag_field="op"):
    """Ask for the last signed checkpoint and the log's public key."""

    origin: str


class Signed(Message, frozen=True, tag="signed", tag_field="is"):
    """The note of a checkpoint."""

    note: bytes


class VerifierKey(Message, frozen=True, tag="key", tag_field="is"):
    """The last signed checkpoint, and the public key."""

    origin: str
    size: int
    root: bytes
    key: str


class MakeAgentKey(Message, frozen=True, tag="signer:agent-key", tag_field="op"):
    """Make and keep a key of an agent."""

    namespace: str
    agent: str


class AssertAgent(Message, frozen=True, tag="signer:assert-agent", tag_field="op"):
    """Sign a statement of the agent with this key."""

    kid: str
    audience: str


class ForgetAgentKey(Message, frozen=True, tag="signer:forget-agent-key", tag_field="op"):
    """Destroy a key of an agent."""

    kid: str


class AgentKeyMade(Message, frozen=True, tag="agent-key", tag_field="is"):
    """The public half of a new key."""

    public: bytes
    """A JSON Web Key in canonical form."""


class Asserted(Message, frozen=True, tag="asserted", tag_field="is"):
    """A signed statement of an agent."""

    token: str

    def __repr__(self) -> str:
        return "Asserted()"


class Forgotten(Message, frozen=True, tag="forgotten", tag_field="is"):
    """The key is destroyed."""


class SignToken(Message, frozen=True, tag="signer:token", tag_field="op"):
    """Sign the token of a row."""

    namespace: str
    token: str


class SignStatusList(Message, frozen=True, tag="signer:status-list", tag_field="op"):
    """Sign a status list."""

    number: int


class MakeTokenKey(Message, frozen=True, tag="signer:make-token-key", tag_field="op"):
    """Make a new key for tokens."""


class DestroyTokenKeys(Message, frozen=True, tag="signer:destroy-token-keys", tag_field="op"):
    """Destroy the keys that sign nothing any more, by the store."""


class LookAtStore(Message, frozen=True, tag="signer:look", tag_field="op"):
    """Ask whether the store can be read and tokens of this issuer signed."""

    issuer: str


class LookedAtStore(Message, frozen=True, tag="looked", tag_field="is"):
    """Both are possible."""


class SignedToken(Message, frozen=True, tag="token", tag_field="is"):
    """A token."""

    text: str

    def __repr__(self) -> str:
        return "SignedToken()"


class SignedStatusList(Message, frozen=True, tag="status-list", tag_field="is"):
    """A status list token."""

    text: str
    until: int
    """Until when it is kept: µs since the epoch."""


class TokenKeyMade(Message, frozen=True, tag="token-key", tag_field="is"):
    """A new key."""

    kid: str
    public: bytes
    """A JWK as canonical JSON."""


class TokenKeysDestroyed(Message, frozen=True, tag="token-keys-destroyed", tag_field="is"):
    """The names of the destroyed keys."""

    kids: tuple[str, ...]


SignerAsk: TypeAlias = (
    Sign
    | LastSigned
    | MakeAgentKey
    | AssertAgent
    | ForgetAgentKey
    | SignToken
    | SignStatusList
    | MakeTokenKey
    | DestroyTokenKeys
    | LookAtStore
)
SignerAnswer: TypeAlias = (
    Signed
    | VerifierKey
    | AgentKeyMade
    | Asserted
    | Forgotten
    | SignedToken
    | SignedStatusList
    | TokenKeyMade
    | TokenKeysDestroyed
    | LookedAtStore
    | Fault
)

ask_decoder = msgspec.json.Decoder(SignerAsk)
"""Reads what the daemon sends."""
answer_decoder = msgspec.json.Decoder(SignerAnswer)
"""Reads what the signer sends."""
