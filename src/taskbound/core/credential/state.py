"""Where a credential stands, from its row to its end in the target.

Rules (design 5; reliability I-01 to I-07, I-12, I-14):

1. A credential begins *journaled*: there is a row, and nothing in the target. What a sweep finds in a target
   without a row gets one that begins *revoking*.
2. Only what was journaled is minted, and once: a mint that was lost is revoked, and never begun anew.
3. Whatever ends it leads to *revoking*, from wherever it stands. Nothing that is being revoked is ever active
   again (I-12).
4. *Revoking* is left with what the target itself showed and with nothing else: that nothing is there any more
   (*gone*), or that it has no means to end what is there (*unsupported*), which then ends at an instant that
   is known. No error, no patience and no number of attempts leads out of it (I-06).
5. One end needs no look: of a mint that nothing was sent of, neither to the target nor on the way to it. It
   is begun once (rule 2), so nothing can be there, or arrive; who had its lease says so, and what they say of
   what the target showed is believed no less.
6. What is active may be renewed, by a decision of its own each time: that was permitted, then the target was
   told. Whatever ends it goes first, and what is over is never renewed.
7. A target may show again what was gone: its data was restored, or a mint arrives late. Then it is revoked
   again (I-14). To be shown once more that it is gone changes nothing (I-05).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from taskbound.core.transition import Transitions


class CredentialState(Enum):
    """Where a credential stands; the values are what rows and records hold."""

    JOURNALED = "journaled"
    MINTING = "minting"
    ACTIVE = "active"
    REVOKING = "revoking"
    REVOKED = "revoked"
    UNSUPPORTED = "unsupported"


class CredentialEvent(Enum):
    """What can happen to a credential."""

    MINT = "mint"
    """A broker is about to call the target."""
    SHOW = "show"
    """The target shows it, and its secret is sealed to who asked."""
    ACKNOWLEDGE = "acknowledge"
    """Who asked says to have its secret."""
    PROLONG = "prolong"
    """A decision lets it live longer; its target knows nothing of that yet (rule 6)."""
    TELL = "tell"
    """A broker is about to tell the target of it, or could not."""
    RENEW = "renew"
    """The target lets it live longer, as was decided."""
    KEEP = "keep"
    """The target does not let it live longer: it ends when it did before."""
    END = "end"
    """It is over: its task, its time, its holder or a person says so, or its mint failed (rule 3)."""
    UNSENT = "unsent"
    """Nothing was ever sent of its mint, and nothing will be (rule 5)."""
    TRY = "try"
    """A broker is about to call the target to revoke it."""
    FAIL = "fail"
    """The target could not be brought to it this time."""
    GONE = "gone"
    """The target shows that nothing of it is there (rule 4)."""
    LEAVE = "leave"
    """The target has no means to end what is open; it ends by itself (rule 4)."""
    REAPPEAR = "reappear"
    """The target shows what was gone (rule 7)."""


_S, _E = CredentialState, CredentialEvent

CREDENTIAL_TRANSITIONS: Final[Transitions[CredentialState, CredentialEvent]] = Transitions(
    word="the credential",
    moves={
        (_S.JOURNALED, _E.MINT): _S.MINTING,
        (_S.MINTING, _E.SHOW): _S.ACTIVE,
        (_S.ACTIVE, _E.ACKNOWLEDGE): _S.ACTIVE,
        (_S.ACTIVE, _E.PROLONG): _S.ACTIVE,
        (_S.ACTIVE, _E.TELL): _S.ACTIVE,
        (_S.ACTIVE, _E.RENEW): _S.ACTIVE,
        (_S.ACTIVE, _E.KEEP): _S.ACTIVE,
        (_S.JOURNALED, _E.END): _S.REVOKING,
        (_S.MINTING, _E.END): _S.REVOKING,
        (_S.ACTIVE, _E.END): _S.REVOKING,
        (_S.MINTING, _E.UNSENT): _S.REVOKED,
        (_S.REVOKING, _E.TRY): _S.REVOKING,
        (_S.REVOKING, _E.FAIL): _S.REVOKING,
        (_S.REVOKING, _E.GONE): _S.REVOKED,
        (_S.REVOKED, _E.GONE): _S.REVOKED,
        (_S.REVOKING, _E.LEAVE): _S.UNSUPPORTED,
        (_S.REVOKED, _E.REAPPEAR): _S.REVOKING,
        (_S.UNSUPPORTED, _E.REAPPEAR): _S.REVOKING,
    },
)

BEGINNINGS: Final = frozenset({_S.JOURNALED, _S.REVOKING})
"""Where a credential can begin (rule 1)."""

LIVE: Final = frozenset({_S.JOURNALED, _S.MINTING, _S.ACTIVE})
"""Where the end of its task ends it."""

MAY_EXIST: Final = frozenset({_S.MINTING, _S.ACTIVE, _S.REVOKING, _S.UNSUPPORTED})
"""Where the target may show something of it."""


def advance(state: CredentialState, event: CredentialEvent) -> CredentialState:
    """The state after the event.

    Raises:
        WrongStateError: The event can't happen in this state.
    """
    return CREDENTIAL_TRANSITIONS.advance(state, event)
