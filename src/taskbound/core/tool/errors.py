"""Why a tool's name, a server or a definition can't be pinned."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError


class BadToolNameError(MalformedError):
    """The text is not one `server__tool` name."""

    code = "bad-tool-name"
    remedy = "write `server__tool`: the server in a-z 0-9 -, the tool in A-Z a-z 0-9 _ - ."


class ForeignCharacterError(MalformedError):
    """A name holds a character beyond ASCII, which may look like one that it is not."""

    code = "foreign-character"
    remedy = "write names in A-Z a-z 0-9 _ - . only"


class BadServerNameError(MalformedError):
    """The text can't name a server: the part before `__` would not end where it seems to."""

    code = "bad-server-name"
    remedy = "use a-z, 0-9 and -, a letter or digit first, at most 32 characters"


class DuplicateToolError(MalformedError):
    """A server lists two tools of one name."""

    code = "duplicate-tool"
    remedy = "have the server fixed: a name must stand for one tool"


class LookAlikeToolError(MalformedError):
    """Two names differ only in what an eye or a client does not tell apart."""

    code = "look-alike-tool"
    remedy = "have one of the two renamed, or serve them by different servers"


class BadServerError(MalformedError):
    """The server can't be pinned as it is described."""

    code = "bad-server"
    remedy = "give an absolute command, its SHA-256, and declared variables as names and values"


class NotAToolError(MalformedError):
    """Something that is asked for by itself is called as a tool: a method, or a credential."""

    code = "not-a-tool"
    remedy = "send a request of that method, or ask for the credential with `taskbound credential request`"


class BadLimitError(MalformedError):
    """What a server may use of the machine can't be limited like this."""

    code = "bad-server-limit"
    remedy = (
        "give `cpu`, `files`, `memory`, `processes` or `size`, as `memory=1GiB`, `files=256` or `cpu=none`"
    )


class BadUrlError(MalformedError):
    """A server can't be reached by this URL, or not so that everybody would reach the same one."""

    code = "bad-url"
    remedy = "give `https://HOST/PATH`; http is for this machine only"


class BadHeaderError(MalformedError):
    """A header can't be declared: its name is taken, or says that it holds a secret."""

    code = "bad-header"
    remedy = "declare headers as `name=value`, in small letters, and none that HTTP or MCP use"


class BadMirrorError(MalformedError):
    """A tool's schema asks for a header (`x-mcp-header`) in a way that MCP does not know."""

    code = "bad-mirror"
    remedy = "have the server fixed: MCP, Transports, Custom Headers"


class BadSlotError(MalformedError):
    """The text names no place of a server where a secret can go."""

    code = "bad-slot"
    remedy = "write `environment:NAME`, `header:NAME`, `query:NAME` or `argument:TOOL/NAME`"


class SlotTakenError(DeniedError):
    """A call has an argument that a secret is put into on the way."""

    code = "slot-taken"
    remedy = "call it without this argument: it is not yours to give"


class BadSecretError(MalformedError):
    """A secret can't stand in its slot, or was not sealed for it."""

    code = "bad-secret"
    remedy = "set it with `taskbound upstream secret SERVER SLOT`, from a pipe or typed unseen"


class BadTemplateError(MalformedError):
    """The text is no URI template whose URIs can be told."""

    code = "bad-template"
    remedy = "have the server fixed: RFC 6570 says what a template is; it has at most 16 expressions"


class BadDefinitionError(MalformedError):
    """The tool object is not one that can be pinned."""

    code = "bad-definition"
    remedy = "have the server fixed: MCP, Tools, Data Types says what a tool object holds"


class RemoteReferenceError(MalformedError):
    """A schema refers to something outside itself, which can change behind the pin."""

    code = "remote-reference"
    remedy = "have the server include the schema under `$defs`"


class TooManyToolsError(MalformedError):
    """The server lists more tools, or larger ones, than can be pinned."""

    code = "too-many-tools"
    remedy = "serve fewer tools, or split the server"
