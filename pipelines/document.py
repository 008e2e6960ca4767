"""The file as a tree that knows where everything stands.

The stages before the spec (overlay, substitution, lint) work on this tree: a pydantic model has no positions, and does
not exist as long as the file has mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock.pipelines.core_schema import core_value
from penstock.pipelines.problem import Place

Style = Literal["plain", "'", '"', "|", ">"]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Path = tuple[str | int, ...]
"""Keys and list positions from the root: `("sources", "auth", "format", "text", 0)`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a substituted value stands in a scalar: `[begin, end)` of the text came from `written` on."""

    begin: int
    end: int
    written: int
    written_end: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` is the value; `raw` is how it stands in the file, quotes and all.

    Where variables were put in, `written` is the value before that and `pieces` say what came from where. `comment`: a
    comment follows on the line. `as_text`: only text can stand here, so that unquoted digits are text, too.
    """

    text: str
    style: Style
    place: Place
    raw: str
    written: str | None = None
    pieces: tuple[Piece, ...] = ()
    secret: bool = False
    comment: bool = False
    as_text: bool = False

    @property
    def value(self) -> str | int | float | bool | None:
        if self.style != "plain" or (self.as_text and self.text):
            return self.text
        return core_value(self.text)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its position and what it leads to."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Map:
    entries: Mapping[str, Entry]
    place: Place

    def get(self, name: str) -> Node | None:
        entry = self.entries.get(name)
        return entry.node if entry is not None else None


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    place: Place


Node: TypeAlias = "Scalar | Map | Sequence"


def plain_value(node: Node, *, secret: Callable[[str], str] | None = None) -> Json:
    """The tree as JSON values; `secret` says what is shown of a secret instead of it."""
    if isinstance(node, Scalar):
        return secret(node.text) if secret is not None and node.secret else node.value
    if isinstance(node, Sequence):
        return [plain_value(item, secret=secret) for item in node.items]
    return {name: plain_value(entry.node, secret=secret) for name, entry in node.entries.items()}


def kind_of(node: Node | None) -> str:
    """How a sentence calls it: `text`, `a number`, `a map`, `nothing` …"""
    if isinstance(node, Map):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value if node is not None else None
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "text" if isinstance(value, str) else "a number"


def child(node: Node | None, step: str | int) -> Node | None:
    """One step down, or None where there is no such key or item."""
    if isinstance(node, Map):
        return node.get(str(step))
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def node_at(root: Node | None, path: Path) -> Node | None:
    node = root
    for step in path:
        node = child(node, step)
    return node


def place_of(root: Node, path: Path) -> Place:
    """Where the value stands; for what is not there, the name of the thing that lacks it."""
    place, node = root.place, root
    for step in path:
        below = child(node, step)
        if below is None:
            return place
        place = node.entries[str(step)].place if isinstance(node, Map) else below.place
        node = below
    return node.place if isinstance(node, Scalar) else place


def key_place(root: Node, path: Path) -> Place:
    """Where the last key of the path stands; the thing around it when there is no such key."""
    parent = node_at(root, path[:-1])
    if isinstance(parent, Map) and path and str(path[-1]) in parent.entries:
        return parent.entries[str(path[-1])].place
    return place_of(root, path)


def matching(root: Node, pattern: str) -> Iterator[tuple[Path, Node]]:
    """Every node under a dotted pattern such as `triggers.*.agent`, in the order of the file; `*` is any key or item."""
    found: list[tuple[Path, Node]] = [((), root)]
    for step in pattern.split("."):
        found = [
            ((*path, name), node) for path, above in found for name, node in children(above) if step in ("*", name)
        ]
    yield from found


def children(node: Node) -> Iterator[tuple[str | int, Node]]:
    if isinstance(node, Map):
        for name, entry in node.entries.items():
            yield name, entry.node
    elif isinstance(node, Sequence):
        yield from enumerate(node.items)


def without(node: Node, path: Path) -> Node:
    """The tree without what stands under `path`; the same tree when there is nothing."""
    if not isinstance(node, Map) or not path or str(path[0]) not in node.entries:
        return node
    name = str(path[0])
    entries = dict(node.entries)
    if len(path) == 1:
        del entries[name]
    else:
        entries[name] = Entry(entries[name].place, without(entries[name].node, path[1:]))
    return Map(entries, node.place)


def with_node(node: Node, path: Path, new: Node, place: Place) -> Node:
    """The tree with `new` under `path`; missing maps on the way are made, what is no map is replaced."""
    if not path:
        return new
    entries = dict(node.entries) if isinstance(node, Map) else {}
    name = str(path[0])
    old = entries.get(name, Entry(place, Map({}, place)))
    entries[name] = Entry(old.place, with_node(old.node, path[1:], new, place))
    return Map(entries, node.place)
