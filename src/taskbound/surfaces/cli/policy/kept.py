"""Rules that a person names: a folder, what is in force, or a bundle that is kept.

1. `in-force` is what is in force, 64 hex digits are a bundle's digest, and anything else is a folder; a
   folder of such a name is written `./in-force`.
2. What the daemon gives is compared with its digest here as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.policy import PolicyBundle, bundle_digest, pack
from taskbound.surfaces.cli.policy.folder import PolicyFolder, read_folder
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.policy import BundleDetail, ShowBundle

if TYPE_CHECKING:
    from taskbound.surfaces.cli.session import Session


IN_FORCE: Final = "in-force"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class OtherBundleError(BadInputError):
    """The daemon gave another bundle than its digest says."""

    code = "other-bundle"
    remedy = "look at `taskbound policy list`, and at who answers on the socket"


def is_digest(told: str) -> bool:
    """Whether this is how a bundle's digest is written."""
    return _DIGEST.fullmatch(told) is not None


def require_digest(told: str) -> str:
    """The digest, whole.

    Raises:
        BadInputError: It is none: what is put in force is named by all of its digest.
    """
    if not is_digest(told):
        raise BadInputError(
            f"`{shown(told)}` is no digest of a bundle", remedy="copy all 64 digits from `policy list`"
        )
    return told


def ask_bundle(session: Session, told: str) -> BundleDetail:
    """The bundle of this digest, or what is in force (rule 2).

    Raises:
        OtherBundleError: Its files have another digest.
    """
    digest = "" if told == IN_FORCE else require_digest(told)
    found = session.ask(ShowBundle(digest=digest), BundleDetail)
    made = bundle_digest(pack(PolicyBundle(files=found.files, cases=found.cases)))
    if made != found.row.digest or (digest and made != digest):
        raise OtherBundleError(f"what was given for bundle `{shown(told)}` has the digest `{made}`")
    return found


def read_rules(session: Session, told: str) -> PolicyFolder:
    """The rules that are named (rule 1).

    Raises:
        FileError: A folder, or a file in it, can't be read.
        BadBundleError: It holds something that no folder of policies does.
        OtherBundleError: A bundle is not what its digest says.
    """
    if told != IN_FORCE and not is_digest(told):
        return read_folder(told)
    found = ask_bundle(session, told)
    bundle = PolicyBundle(files=found.files, cases=found.cases)
    return PolicyFolder(
        path=Path(),
        files=bundle.own,
        cases={name: text.encode() for name, text in found.cases.items()},
        has_tools=False,
        base=bundle.base,
    )
