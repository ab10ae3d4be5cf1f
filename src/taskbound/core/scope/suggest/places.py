"""Finds where the arguments of a tool may hold paths, as far as its input schema shows.

1. Texts and lists of texts are found at every depth: objects, lists, alternatives, internal references.
2. Names are read word by word without case. A format, the beginning of a description, a default, an example
   or a pattern can also show or suggest a path.
3. A URL may name a file (`file:`), so it is limited to web addresses.
4. A possible path that cannot be limited is in doubt: unexplained names such as `source`, commands, JSON in a
   text, undeclared members (their names may be paths), recursive schemas.
5. Declarations settle doubts: they make an argument a path, or an argument named like a path none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import chain, combinations
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.path import MAX_LENGTH, MAX_STEPS, Items, Step, path_of

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


Schema = Mapping[str, "JsonValue"]

_MOST: Final = 192
"""Places of a tool; a grant takes 256 constrained arguments."""
_MOST_STEPS: Final = 4096
"""Schemas that are looked at, each as often as it is referred to."""
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PATH: Final = _set(
    "path paths pathname pathnames filepath filepaths filename filenames fname fnames dirname dirnames"
    " pfad pfade dateipfad chemin chemins ruta rutas caminho caminhos percorso percorsi"
)
_FILE: Final = _set(
    "file files dir dirs directory directories folder folders root roots cwd workdir workingdir subdir"
    " basedir rootdir outdir homedir outfile infile logfile"
    " datei dateien verzeichnis verzeichnisse ordner fichier fichiers repertoire repertoires archivo archivos"
    " fichero ficheros carpeta carpetas directorio directorios arquivo arquivos diretorio diretorios cartella"
    " cartelle"
)
_ENDS: Final = re.compile(r"(?:path|file|folder|directory|dir)s?$")
_NO_PATHS: Final = _set("xpath xpaths jsonpath jsonpaths empath empaths profile profiles nadir footpath")
_ABOUT: Final = _set(
    "id ids type types kind format size sizes count encoding extension extensions ext key hash digest status"
    " version mode style separator permissions limit length depth content contents"
)
"""Last words that make a name say something about a file, not which."""
_WHICH: Final = _set("name names in out a b list to from")
_WEB: Final = _set("url urls uri uris href hrefs")
_UNCLEAR: Final = _set(
    "src srcs source sources dst dest destination destinations location locations input inputs output outputs"
    " archive archives attachment attachments workspace worktree symlink mount volume"
    " command commands cmd shell script scripts args argv code json fn fp pth glob globs dossier plik pasta"
)
_MOVED: Final = _set("src srcs source sources dst dest destination destinations")
_PERHAPS: Final = _set(
    "from to old new target targets name names link links document documents image images picture photo video"
    " audio repo repository project module package config resource base parent entry entries item items left"
    " right first second in out a b x y as save export upload download include exclude db database notebook"
    " log patch certificate key value home local checkout"
)
"""Names that may be paths where the tool, the description or what is around them speaks of files."""
_TEXTS: Final = _set(
    "content contents text message body description title comment summary data query queries q search pattern"
    " patterns filter keyword keywords term terms regex expression sql sort order format mode xpath xpaths"
    " jsonpath selector oldtext newtext"
)
_NOUN: Final = (
    r"(?:path(?:name)?s?(?! expressions?)|director(?:y|ies)|folders?"
    r"|file ?names?|files?(?![ -](?:contents?|types?|formats?|encodings?|extensions?|sizes?|ids?)\b))"
)
_SPEAKS: Final = re.compile(rf"\b{_NOUN}\b", re.IGNORECASE)
_LEADS: Final = re.compile(
    r"\W*(?:(?:the|an?|one|list|array|of|full|absolute|relative|local|optional|existing|new|input|output|source"
    r"|target|destination|which|name|working|root|base|all|or|and|more|to|where|in|from)\W+)*"
    rf"{_NOUN}\b",
    re.IGNORECASE,
)
_PATH_FORMATS: Final = _set(
    "path paths file-path filepath directory-path directory folder file file-name filename"
)
_WEB_FORMATS: Final = _set("uri uri-reference iri iri-reference url uri-template")
_LEADS_WEB: Final = re.compile(
    r"\W*(?:(?:the|an?|full|absolute)\W+)*(?:ur[li]s?|web ?links?)\b", re.IGNORECASE
)
_PERHAPS_PATH: Final = re.compile(
    r"\bur[li]s?\b|\bjson\b.{0,9}\b(?:array|object|text|string|encoded)\b", re.IGNORECASE
)
_LIKE_PATH: Final = re.compile(r"\^?(?:~?\\?/|\.{1,2}(?:[\\/]|$)|[A-Za-z]:[\\/]|file:)")
_PLAIN_FORMATS: Final = _set(
    "date date-time time duration email idn-email uuid ipv4 ipv6 hostname regex byte"
)
_BRANCHES: Final = ("anyOf", "oneOf")
_APPLIED: Final = ("if", "then", "else")
_REFS: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ITEMS: Final = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
_STRUCTURE: Final = _set("properties patternProperties items prefixItems")
_KINDS: Final = _set("string number integer boolean null object array")


class Sort(Enum):
    """What a place may hold."""

    PATH = "path"
    WEB = "web"
    EITHER = "path or web"
    DOUBT = "doubt"
    FREE = "free"


_STRICT: Final = (Sort.PATH, Sort.WEB, Sort.EITHER, Sort.DOUBT, Sort.FREE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in the arguments that may hold a text."""

    text: str
    """As a scope writes it, or in words where no path leads there."""
    sort: Sort
    steps: tuple[Step, ...] = ()
    lists: tuple[int, ...] = (0,)
    """How many lists are around the text: 0 for a text, 1 for a list of texts; several for alternatives."""
    optional: tuple[tuple[Step, ...], ...] = ()
    """The places on the way, and this one, that a call may leave out."""

    @property
    def limited(self) -> bool:
        return self.sort in {Sort.PATH, Sort.WEB, Sort.EITHER}


def places_of(
    schema: Schema,
    *,
    about: str = "",
    paths: frozenset[str] = frozenset(),
    others: frozenset[str] = frozenset(),
) -> tuple[Place, ...]:
    """Returns the places, sorted; `about` is name and description, the sets are declared (rule 5)."""
    walk = _Walk(schema, paths=paths, others=others)
    found: dict[str, Place] = {}
    try:
        for one in walk.members(schema, (), (), speaks=_SPEAKS.search(_split(about)) is not None):
            found[one.text] = _merged(found.get(one.text), one)
    except _TooManyError:
        found = {}
    if len(found) > _MOST or walk.count > _MOST_STEPS:
        return (Place(text="its arguments, which are too many to look at", sort=Sort.DOUBT),)
    found = _without_conflicts(found)
    return tuple(found[text] for text in sorted(found))


def _without_conflicts(found: dict[str, Place]) -> dict[str, Place]:
    """Marks texts that may also be an object or list as doubtful, because no grant can limit them."""
    limited = [one for one in found.values() if one.limited]
    odd = {at for one, other in combinations(limited, 2) if (at := _conflict(one.steps, other.steps))}
    for at in odd:
        found = {text: one for text, one in found.items() if not (one.limited and one.steps[: len(at)] == at)}
        found[_label(at)] = Place(text=_label(at), sort=Sort.DOUBT)
    return found


def _conflict(one: tuple[Step, ...], other: tuple[Step, ...]) -> tuple[Step, ...]:
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            return one[:shared] if isinstance(left, Items) != isinstance(right, Items) else ()
        shared += 1
    return one[:shared]


class _TooManyError(Exception):
    pass


def _merged(one: Place | None, other: Place) -> Place:
    if one is None:
        return other
    if _STRICT.index(other.sort) < _STRICT.index(one.sort):
        one, other = other, one
    if not other.limited:
        return one
    optional = tuple(dict.fromkeys((*one.optional, *other.optional)))
    return Place(
        text=one.text,
        sort=one.sort if one.sort is other.sort else Sort.EITHER,
        steps=one.steps,
        lists=tuple(sorted({*one.lists, *other.lists})),
        optional=optional,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a schema permits at one place, over all its alternatives."""

    texts: set[int]
    objects: dict[int, list[Schema]]
    told: list[str]
    formats: set[str]
    hints: list[Schema]
    """Those whose default, example or pattern begins like a path, or whose text is JSON."""
    loops: list[int]
    """In how many lists a reference stands that has no end, or names nothing."""


class _Walk:
    def __init__(self, root: Schema, *, paths: frozenset[str], others: frozenset[str]) -> None:
        self.root = root
        self.paths = paths
        self.others = others
        self.count = 0

    def members(
        self,
        schema: Schema,
        steps: tuple[Step, ...],
        optional: tuple[tuple[Step, ...], ...],
        *,
        speaks: bool,
        stack: tuple[int, ...] = (),
    ) -> Iterator[Place]:
        stack = (*stack, id(schema))
        known: dict[str, list[JsonValue]] = {}
        needed: set[str] = set()
        bodies: list[Schema] = []
        for body, sure in self._applied(schema, ()):
            if body is None:
                yield self._doubt(steps)
                continue
            bodies.append(body)
            properties = body.get("properties")
            for name, one in properties.items() if isinstance(properties, dict) else ():
                known.setdefault(name, []).append(one)
            required = body.get("required")
            if sure and isinstance(required, list):
                needed.update(one for one in required if isinstance(one, str))
            if _further(body, top=not steps):
                yield Place(text=f"further members of {_label(steps)}", sort=Sort.DOUBT)
        if not steps and speaks and not any("properties" in body or _declared(body) for body in bodies):
            yield self._doubt(steps)
        for name, some in known.items():
            here = (*steps, name)
            free = optional if name in needed else (*optional, here)
            yield from self._place(some, here, free, speaks=speaks, stack=stack)

    def _place(
        self,
        some: list[JsonValue],
        steps: tuple[Step, ...],
        optional: tuple[tuple[Step, ...], ...],
        *,
        speaks: bool,
        stack: tuple[int, ...],
    ) -> Iterator[Place]:
        if len(steps) > MAX_STEPS - 2 or "" in steps:  # no scope can name it
            yield self._doubt(steps)
            return
        shape = _Shape(texts=set(), objects={}, told=[], formats=set(), hints=[], loops=[])
        for one in some:
            self._shape(one, 0, shape, ())
        name = next(one for one in reversed(steps) if isinstance(one, str))
        sort = self._sort(steps, name, shape, speaks=speaks)
        if shape.loops:
            yield self._doubt(steps)
            return
        inner: list[Place] = []
        around = speaks or sort in {Sort.PATH, Sort.EITHER} or bool({*_split(name).split()} & (_PATH | _FILE))
        for lists, bodies in shape.objects.items():
            into = (*steps, *([Items.EACH] * lists))
            for body in bodies:
                if id(body) in stack:  # it refers to itself: no path leads to all of its places
                    inner.append(self._doubt(steps))
                    continue
                if not any(_declared(one) for one, _ in self._applied(body, ()) if one is not None):
                    inner.append(self._settled(steps, Sort.DOUBT))
                inner += self.members(body, into, optional, speaks=around, stack=stack)
        texts = tuple(sorted(shape.texts))
        telling = any(one.sort is not Sort.FREE for one in inner)
        mixed = len(shape.objects) > 1 or bool(texts)
        if inner and mixed and (telling or sort is not Sort.FREE):
            yield self._doubt(steps)  # one path cannot lead into a text, an object and a list
            return
        yield from inner
        if not texts:
            return
        path = path_of(steps).text
        if sort in {Sort.DOUBT, Sort.FREE} or len(path) > MAX_LENGTH:
            yield self._settled(steps, Sort.DOUBT if len(path) > MAX_LENGTH else sort)
            return
        yield Place(text=path, sort=sort, steps=steps, lists=texts, optional=optional)

    def _sort(self, steps: tuple[Step, ...], name: str, shape: _Shape, *, speaks: bool) -> Sort:
        if len(steps) == 1 and name in self.paths:
            return Sort.PATH
        found = _sort(name, shape.told, shape.formats, speaks=speaks)
        if found is Sort.FREE and shape.hints:
            found = Sort.DOUBT
        return self._settled(steps, found).sort

    def _settled(self, steps: tuple[Step, ...], sort: Sort) -> Place:
        if sort is Sort.DOUBT and steps and steps[0] in self.others:  # rule 5
            sort = Sort.FREE
        return Place(text=_label(steps), sort=sort)

    def _doubt(self, steps: tuple[Step, ...]) -> Place:
        return Place(text=_label(steps), sort=Sort.DOUBT)

    def _shape(self, schema: JsonValue, lists: int, shape: _Shape, seen: tuple[int, ...]) -> None:
        if not isinstance(schema, dict):
            if schema is not False:
                shape.texts.add(lists)
            return
        bodies = list(self._applied(schema, seen))
        for body, _ in bodies:
            if body is None or lists > MAX_STEPS // 2:
                shape.loops.append(lists)
                continue
            self._add(body, lists, shape, (*seen, id(body)))
        if any(_is_object(body or {}) for body, _ in bodies):
            shape.objects.setdefault(lists, []).append(schema)
        if self._takes_text(schema, ()):
            shape.texts.add(lists)

    def _takes_text(self, schema: JsonValue | Schema, seen: tuple[int, ...]) -> bool:
        if not isinstance(schema, Mapping):
            return schema is not False
        if id(schema) in seen:
            return False  # `_shape` has a doubt of it
        seen = (*seen, id(schema))
        refs = self._refs(schema)
        if refs:  # what stands beside a reference counts in newer drafts only
            return any(one is not None and self._takes_text(one, seen) for one in refs)
        if _excludes_text(schema):
            return False
        some = [[one] for one in _listed(schema, "allOf")]  # of each of these lists one has to take it
        some += [found for word in _BRANCHES if (found := _listed(schema, word))]
        if "if" in schema:
            some.append([schema.get(word, True) for word in _APPLIED[1:]])
        return all(any(self._takes_text(one, seen) for one in found) for found in some)

    def _add(self, body: Schema, lists: int, shape: _Shape, seen: tuple[int, ...]) -> None:
        for word in ("title", "description"):
            one = body.get(word)
            if isinstance(one, str):
                shape.told.append(one)
        form = body.get("format")
        if isinstance(form, str):
            shape.formats.add(form.lower())
        if _hints(body):
            shape.hints.append(body)
        if "array" in _kinds(body) or {*body} & {*_ITEMS}:
            some = [
                body.get("items", True),
                *(body[word] for word in _ITEMS if word != "items" and word in body),
            ]
            for one in chain.from_iterable(one if isinstance(one, list) else [one] for one in some):
                if isinstance(one, dict) and any(id(body) in seen for body, _ in self._applied(one, ())):
                    shape.loops.append(lists)
                    continue
                self._shape(one, lists + 1, shape, seen)

    def _applied(
        self, schema: Schema, seen: tuple[int, ...], *, sure: bool = True
    ) -> Iterator[tuple[Schema | None, bool]]:
        """Yields each schema and whether it always applies; None for an endless or bad reference."""
        self.count += 1
        if self.count > _MOST_STEPS:
            raise _TooManyError
        if id(schema) in seen or len(seen) > 4 * MAX_STEPS:
            yield None, sure
            return
        seen = (*seen, id(schema))
        yield schema, sure
        for found in self._refs(schema):
            if found is None:
                yield None, sure
            else:
                yield from self._applied(found, seen, sure=sure)
        for word in ("allOf", *_BRANCHES):
            for one in _listed(schema, word):
                if isinstance(one, dict):
                    yield from self._applied(one, seen, sure=sure and word == "allOf")
        for word in (*_APPLIED, "dependentSchemas", "dependencies"):
            some = schema.get(word)
            if isinstance(some, dict):
                for one in (some,) if word in _APPLIED else some.values():
                    if isinstance(one, dict):
                        yield from self._applied(one, seen, sure=False)

    def _refs(self, schema: Schema) -> list[Schema | None]:
        return [self._resolve(ref) for word in _REFS if isinstance(ref := schema.get(word), str)]

    def _resolve(self, ref: str) -> Schema | None:
        at: JsonValue = dict(self.root)
        if ref == "#":
            return self.root
        if not ref.startswith("#/"):
            return None
        for word in ref[2:].split("/"):
            name = word.replace("~1", "/").replace("~0", "~")
            if not isinstance(at, dict) or name not in at:
                return None
            at = at[name]
        return at if isinstance(at, dict) else None


def _listed(schema: Schema, word: str) -> list[JsonValue]:
    some = schema.get(word)
    return some if isinstance(some, list) else []


def _kinds(body: Schema) -> set[str]:
    kind = body.get("type")
    found = {one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str)}
    return {one if one in _KINDS else "string" for one in found}


def _excludes_text(schema: Schema) -> bool:
    kinds = _kinds(schema)
    if isinstance(schema.get("enum"), list) or "const" in schema:
        return True
    return "string" not in kinds if kinds else bool({*schema} & _STRUCTURE)


def _hints(body: Schema) -> bool:
    shown = [body.get("default"), body.get("example"), body.get("pattern"), *_listed(body, "examples")]
    media = body.get("contentMediaType")
    return (
        any(isinstance(one, str) and _LIKE_PATH.match(one) for one in shown)
        or "contentSchema" in body
        or (isinstance(media, str) and "json" in media.lower())
    )


def _is_object(body: Schema) -> bool:
    return "object" in _kinds(body) or "properties" in body or "patternProperties" in body


def _declared(body: Schema) -> bool:
    more = body.get("additionalProperties")
    return (
        more is False
        or isinstance(more, dict)
        or bool(body.get("properties") or body.get("patternProperties"))
    )


def _further(body: Schema, *, top: bool) -> bool:
    if body.get("patternProperties") or isinstance(body.get("propertyNames"), dict):
        return True
    more = body.get("additionalProperties", body.get("unevaluatedProperties"))
    return isinstance(more, dict) or (more is True and (top or bool(body.get("properties"))))


def _label(steps: tuple[Step, ...]) -> str:
    return path_of(steps).text if steps else "the arguments"


def _split(name: str) -> str:
    return " ".join(one.lower() for one in _WORDS.findall(normalize("NFKC", name)))


def _sort(name: str, told: list[str], formats: set[str], *, speaks: bool) -> Sort:
    words = _split(name).split()
    path = _named(words)
    web = bool({*words} & _WEB) or bool(formats & _WEB_FORMATS)
    leads = any(_LEADS.match(one) for one in told)
    mentions = any(_SPEAKS.search(one) for one in told)
    web = web or (path is Sort.FREE and any(_LEADS_WEB.match(one) for one in told))
    mentions_web = any(_PERHAPS_PATH.search(one) for one in told)
    plain = bool({*words[-1:]} & (_TEXTS | _ABOUT)) or bool({*words} & _NO_PATHS)
    if formats & _PATH_FORMATS:
        path = Sort.PATH
    if web:
        return Sort.EITHER if path is not Sort.FREE or mentions else Sort.WEB
    if path is not Sort.FREE or formats & _PLAIN_FORMATS:
        return path
    if name.isascii() and plain:
        return Sort.DOUBT if leads else Sort.FREE
    if leads or (speaks and words and {*words} <= _MOVED):
        return Sort.PATH
    unclear = bool({*words[-1:]} & _UNCLEAR) or (speaks and {*words} <= (_PERHAPS | _UNCLEAR))
    return Sort.DOUBT if mentions or mentions_web or unclear or not name.isascii() else Sort.FREE


def _named(words: list[str]) -> Sort:
    if not words or "".join(words) in _NO_PATHS or words[-1] in _NO_PATHS:
        return Sort.FREE
    if words[-1] in _ABOUT:
        return Sort.FREE
    if {*words} & _PATH or words[-1] in _FILE or words[-2:] in (["file", "name"], ["file", "names"]):
        return Sort.PATH
    if {*words} & _FILE:
        return Sort.PATH if words[-1] in _WHICH else Sort.DOUBT
    if _ENDS.search(words[-1]) and words[-1] not in _NO_PATHS:
        return Sort.PATH
    return Sort.FREE
