"""Errors of tool names, servers and definitions."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class BadToolNameError(MalformedError):
    """The text is not a `server__tool` name."""

    code = "bad-tool-name"
    remedy = "write `server__tool`: the server in a-z 0-9 -, the tool in A-Z a-z 0-9 _ - ."


class ForeignCharacterError(MalformedError):
    """A name contains a character beyond ASCII, which may imitate another."""

    code = "foreign-character"
    remedy = "write names in A-Z a-z 0-9 _ - . only"


class BadServerNameError(MalformedError):
    """The text is not a server name, because the part before `__` would be ambiguous."""

    code = "bad-server-name"
    remedy = "use a-z, 0-9 and -, a letter or digit first, at most 32 characters"


class DuplicateToolError(MalformedError):
    """A server lists two tools with one name."""

    code = "duplicate-tool"
    remedy = "have the server fixed: a name must stand for one tool"


class LookAlikeToolError(MalformedError):
    """Two names differ only in characters that people or clients confuse."""

    code = "look-alike-tool"
    remedy = "have one of the two renamed, or serve them by different servers"


class BadServerError(MalformedError):
    """The server cannot be pinned as described."""

    code = "bad-server"
    remedy = "give an absolute command, its SHA-256, and declared variables as names and values"


class NotAToolError(MalformedError):
    """A method or credential is called as a tool."""

    code = "not-a-tool"
    remedy = "send a request of that method, or ask for the credential with `taskbound credential request`"


class BadLimitError(MalformedError):
    """The resource limit of a server is malformed."""

    code = "bad-server-limit"
    remedy = (
        "give `cpu`, `files`, `memory`, `processes` or `size`, as `memory=1GiB`, `files=256` or `cpu=none`"
    )


class BadUrlError(MalformedError):
    """The server's URL is invalid or ambiguous."""

    code = "bad-url"
    remedy = "give `https://HOST/PATH`; http is for this machine only"


class BadHeaderError(MalformedError):
    """The header is reserved, or its name or value suggests a secret."""

    code = "bad-header"
    remedy = "declare headers as `name=value`, in small letters, and none that HTTP or MCP use"


class BadMirrorError(MalformedError):
    """A tool's schema declares a header (`x-mcp-header`) against MCP's rules."""

    code = "bad-mirror"
    remedy = "have the server fixed: MCP, Transports, Custom Headers"


class BadSlotError(MalformedError):
    """The text is not a slot of the server."""

    code = "bad-slot"
    remedy = "write `environment:NAME`, `header:NAME`, `query:NAME` or `argument:TOOL/NAME`"


class SlotTakenError(DeniedError):
    """The call has an argument that a secret slot fills."""

    code = "slot-taken"
    remedy = "call it without this argument: it is not yours to give"


class BadSecretError(MalformedError):
    """The secret does not fit its slot or was not sealed for it."""

    code = "bad-secret"
    remedy = "set it with `taskbound upstream secret SERVER SLOT`, from a pipe or typed unseen"


class BadTemplateError(MalformedError):
    """The text is not a supported URI template."""

    code = "bad-template"
    remedy = "have the server fixed: RFC 6570 says what a template is; it has at most 16 expressions"


class BadDefinitionError(MalformedError):
    """The tool object cannot be pinned."""

    code = "bad-definition"
    remedy = "have the server fixed: MCP, Tools, Data Types says what a tool object holds"


class RemoteReferenceError(MalformedError):
    """A schema refers to an external document, which could change despite the pin."""

    code = "remote-reference"
    remedy = "have the server include the schema under `$defs`"


class TooManyToolsError(MalformedError):
    """The server's list exceeds the limits on number or size."""

    code = "too-many-tools"
    remedy = "serve fewer tools, or split the server"
