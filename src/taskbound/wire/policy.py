"""Messages about policies and scopes."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message, Request, Response


class ProposeBundle(Request, frozen=True, tag="policy:propose", tag_field="op"):
    """Validate the policies of a folder and store them under the caller's name. Only a person may."""

    files: dict[str, str]
    """The text of each `*.cedar` by its name."""
    cases: dict[str, str] = msgspec.field(default_factory=dict)
    """The text of each `*.cases.yaml` by its name."""
    note: str = ""


class ListBundles(Request, frozen=True, tag="policy:list", tag_field="op"):
    """List the bundles, and the history of what is in force."""


class ShowBundle(Request, frozen=True, tag="policy:show", tag_field="op"):
    """Show one bundle with its files."""

    digest: str = ""
    """Empty for what is in force."""


class ActivateBundle(Request, frozen=True, tag="policy:activate", tag_field="op"):
    """Put a bundle in force. Only a person may, and where there are two, not its author."""

    digest: str


class RollBackBundle(Request, frozen=True, tag="policy:roll-back", tag_field="op"):
    """Put the previous bundle in force again. Only a person may."""

    digest: str | None = None
    """Empty for the base alone; left out for the one before."""
    reason: str = ""


class ReplayBundle(Request, frozen=True, tag="policy:replay", tag_field="op"):
    """Decide the newest actions again under a stored bundle, or under these files."""

    last: int
    digest: str = ""
    """Empty, without files, for what is in force."""
    files: dict[str, str] = msgspec.field(default_factory=dict)


class BundleRow(Message, frozen=True, tag="policy-bundle", tag_field="is"):
    """One bundle in short."""

    digest: str
    author: str
    at: int
    note: str
    state: str
    """`in-force`, `was-in-force` or `proposed`."""


class ActivationRow(Message, frozen=True):
    """One change of what is in force."""

    epoch: int
    digest: str
    """Empty for the base alone."""
    how: str
    """`activated`, `rolled-back` or `rebased`."""
    by: str
    at: int
    alone: bool = False
    """Whether the author put it in force, being the only person."""


class BundleInForce(Message, frozen=True):
    """The rules in force, and the person who activated them."""

    digest: str
    """Digest that decisions name."""
    base: str
    """Digest of the rules that come with Taskbound, alone; the same where no others are in force."""
    author: str = ""
    """Who proposed it; empty for the rules that come with Taskbound."""
    how: str = ""
    """`activated`, `rolled-back` or `rebased`; empty where nothing was ever put in force."""
    by: str = ""
    at: int = 0
    trouble: str = ""
    """Why nothing is decided: what is in force is not whole."""


class BundleRows(Response, frozen=True, tag="policy-bundles", tag_field="is"):
    """The bundles, newest first."""

    in_force: str
    """Digest that decisions name."""
    base: str
    """Digest of the rules that come with Taskbound, alone."""
    rows: tuple[BundleRow, ...]
    activations: tuple[ActivationRow, ...]
    trouble: str = ""
    """Why nothing is decided: what is in force is not whole."""


class BundleDetail(Response, frozen=True, tag="policy-bundle-detail", tag_field="is"):
    """One bundle with its files."""

    row: BundleRow
    files: dict[str, str]
    """Its rules, those of the base included."""
    cases: dict[str, str]
    activations: tuple[ActivationRow, ...]
    """When it was put in force, and by whom, newest first."""
    record: int
    """Place in the log of the author's word for it; -1 while it has none."""
    covered: bool
    """Whether a signed checkpoint is over that record."""


class BundleProblem(Message, frozen=True):
    """One fault and its place."""

    file: str
    line: int
    column: int
    words: str
    hint: str = ""
    policy: str = ""


class BundleAnswer(Response, frozen=True, tag="policy-answer", tag_field="is"):
    """The result of proposing or activating a bundle."""

    digest: str
    problems: tuple[BundleProblem, ...] = ()
    """All that is wrong with it: then it was refused, and what is in force stays."""


class ReplayDifference(Message, frozen=True):
    """An action that would be decided otherwise."""

    action: str
    agent: str
    tool: str
    was: str
    would: str
    facts: str
    """As they were recorded."""


class Replayed(Response, frozen=True, tag="policy-replay", tag_field="is"):
    """The result of a replay."""

    asked: int
    same: int
    beside: int
    """How many the scope or the standing of their moment decided, which no bundle changes."""
    differences: tuple[ReplayDifference, ...]
    not_asked: tuple[tuple[str, int], ...]
    """By reason: how many can't be asked again."""
    bundle: str
    """Digest of what they were asked of."""
    problems: tuple[BundleProblem, ...] = ()
    """Why nothing was asked: all that is wrong with the files."""


class IntendedCall(Message, frozen=True):
    """A planned call."""

    tool: str
    arguments: msgspec.Raw
    """An object."""


class SuggestScope(Request, frozen=True, tag="scope:suggest", tag_field="op"):
    """Suggest the narrowest scope for the permitted calls of past tasks, or for planned calls."""

    tasks: tuple[str, ...] = ()
    agent: str = ""
    """Whose ceiling bounds it, and whose tasks are looked at when neither tasks nor calls are named."""
    since: int = 0
    """From which instant on, of an agent's tasks."""
    calls: tuple[IntendedCall, ...] = ()


class WideningRow(Message, frozen=True):
    """What is permitted beyond the observed calls, and by which rule."""

    grant: str
    path: str
    what: str
    why: str
    broad: bool


class Suggested(Response, frozen=True, tag="suggested", tag_field="is"):
    """A scope for the observed calls."""

    scope: msgspec.Raw
    words: tuple[str, ...]
    widenings: tuple[WideningRow, ...]
    calls: int
    agent: str
    """Whose ceiling it was held against; empty when against none."""
    within: bool
    """Whether it is within that ceiling; false without one."""
    outside: tuple[str, ...]
    """Why it is not shown to be within, in words."""
    unread: int = 0
    """How many past actions could not be read and were left out."""
