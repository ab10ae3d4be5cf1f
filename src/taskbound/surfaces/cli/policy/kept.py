"""Resolves the name of a policy set: a folder, the bundle in force, or a stored bundle.

1. `in-force` is the bundle in force, 64 hex digits are a digest, anything else is a folder (`./in-force`).
2. A bundle from the daemon is compared with its digest here too.
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
    """The daemon returned a bundle that doesn't match its digest."""

    code = "other-bundle"
    remedy = "look at `taskbound policy list`, and at who answers on the socket"


def is_digest(told: str) -> bool:
    """Return whether the text has the form of a bundle's digest."""
    return _DIGEST.fullmatch(told) is not None


def require_digest(told: str) -> str:
    """Return the digest; raises BadInputError unless it is complete, as activation requires."""
    if not is_digest(told):
        raise BadInputError(
            f"`{shown(told)}` is no digest of a bundle", remedy="copy all 64 digits from `policy list`"
        )
    return told


def ask_bundle(session: Session, told: str) -> BundleDetail:
    """Return the bundle with this digest, or in force; raises OtherBundleError on mismatch (rule 2)."""
    digest = "" if told == IN_FORCE else require_digest(told)
    found = session.ask(ShowBundle(digest=digest), BundleDetail)
    made = bundle_digest(pack(PolicyBundle(files=found.files, cases=found.cases)))
    if made != found.row.digest or (digest and made != digest):
        raise OtherBundleError(f"what was given for bundle `{shown(told)}` has the digest `{made}`")
    return found


def read_rules(session: Session, told: str) -> PolicyFolder:
    """Return the named policies (rule 1); raises FileError, BadBundleError or OtherBundleError."""
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
