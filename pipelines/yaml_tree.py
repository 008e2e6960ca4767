"""YAML text to a tree with positions: YAML 1.2, core schema, safe by construction.

ruamel.yaml scans and parses; the tree is built here from its events, because only then every key and value keeps its
position and everything that a configuration file has no use for is refused with a reason: tags, merge keys (`<<` is
YAML 1.1: an overlay does that job), directives, several documents, keys that are no text, aliases that multiply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from penstock.pipelines.document import Entry, Map, Node, Scalar, Sequence, Style, children
from penstock.pipelines.problem import Code, Place, Problem
from penstock.pipelines.yaml_split import Member, rejoined

_COMMENT = re.compile(r"[ \t]*#")
DEPTH_MAX = 64
NODES_MAX = 50_000
"""Nodes after every alias was expanded; an alias that multiplies reaches this early."""


class NotYaml(Exception):
    """The parser cannot go on. `error` is its own; None where it found a defect of its own instead of ours."""

    def __init__(self, error: MarkedYAMLError | None, message: str = "") -> None:
        super().__init__(message)
        self.error, self.message = error, message


class _TooMuch(Exception):
    """A cap was reached: reading on would only cost time."""


class Read(NamedTuple):
    """`root` is None for an empty file."""

    root: Node | None
    problems: list[Problem]


def read_tree(text: str, file: str) -> Read:
    """The first document of the text as a tree. Raises NotYaml for a syntax error."""
    builder = _Builder(text, file)
    try:
        root = builder.document()
    except _TooMuch:
        root = None
    return Read(root, builder.problems)


def _events(text: str) -> Iterator[Any]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        raise NotYaml(error) from error
    except Exception as error:  # the parser has defects on odd input (ValueError, IndexError …)
        raise NotYaml(None, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


@dataclass
class _Builder:
    text: str
    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    open_anchors: set[str] = field(default_factory=set)
    nodes: int = 0

    def __post_init__(self) -> None:
        self.events = _events(self.text)

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                self._check_document(event, documents)
            elif isinstance(event, ScalarEvent | AliasEvent | MappingStartEvent | SequenceStartEvent):
                node = self.node(event, 0)
                root = node if documents == 1 else root
        return root

    def _check_document(self, event: DocumentStartEvent, documents: int) -> None:
        if event.version is not None and tuple(event.version) != (1, 2):
            self.refuse(event, "the file is read as YAML 1.2; remove the %YAML directive")
        if documents == 2:
            self.refuse(event, "a second YAML document begins here; one file holds one pipeline")

    def place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1)

    def refuse(self, event: Any, message: str, code: Code = Code.YAML_REFUSED, expected: str | None = None) -> None:
        self.problems.append(Problem(code, self.place(event.start_mark), message, expected=expected))

    def node(self, event: Any, depth: int) -> Node:
        self._count(event, depth)
        if isinstance(event, AliasEvent):
            return self.alias(event)
        if event.anchor is not None:
            self.open_anchors.add(event.anchor)
        node = self._fresh(event, depth)
        if event.anchor is not None:
            self.open_anchors.discard(event.anchor)
            self.anchors[event.anchor] = node
        return node

    def _count(self, event: Any, depth: int, nodes: int = 1) -> None:
        self.nodes += nodes
        if depth > DEPTH_MAX:
            self.refuse(event, f"the file is nested deeper than {DEPTH_MAX} levels")
            raise _TooMuch
        if self.nodes > NODES_MAX:
            self.refuse(event, f"the file has more than {NODES_MAX} values once its aliases are expanded")
            raise _TooMuch

    def _fresh(self, event: Any, depth: int) -> Node:
        if isinstance(event, ScalarEvent):
            return self.scalar(event)
        if event.tag is not None:
            self._tagged(event)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(event, depth)
        return self.mapping(event, depth)

    def alias(self, event: Any) -> Node:
        node = self.anchors.get(event.anchor)
        if node is not None and event.anchor not in self.open_anchors:
            self._count(event, 0, _size(node))
            return node
        place = self.place(event.start_mark)
        raw = self.raw(event)
        if event.anchor in self.open_anchors:
            self.refuse(event, f"`*{event.anchor}` stands inside the value that it repeats")
        else:
            message = f"YAML takes `*{event.anchor}` as an alias, and no `&{event.anchor}` stands before it"
            self.refuse(event, message, Code.YAML_ATE_EXPRESSION, "quotes around an expression that begins with `*`")
        return Scalar(raw, "plain", place, raw)

    def raw(self, event: Any) -> str:
        return self.text[event.start_mark.index : event.end_mark.index]

    def scalar(self, event: Any) -> Scalar:
        place, raw = self.place(event.start_mark), self.raw(event)
        if event.tag is not None:
            self._tagged(event)
            return Scalar(raw, "plain", place, raw)
        if event.anchor is not None and raw.startswith("&"):
            head = len(raw) - len(raw[1 + len(event.anchor) :].lstrip())
            place, raw = Place(self.file, place.line, place.column + head), raw[head:]
        style: Style = event.style or "plain"
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self.refuse(event, "half of a surrogate pair is no character; write the character itself")
            return Scalar("", "'", place, raw)
        comment = _COMMENT.match(self.text, event.end_mark.index) is not None
        return Scalar(event.value, style, place, raw.rstrip() if style == "plain" else raw, comment=comment)

    def _tagged(self, event: Any) -> None:
        word = self.raw(event).split(None, 1)[0] if self.raw(event).strip() else str(event.tag)
        if word.startswith("!!") or not isinstance(event, ScalarEvent):
            self.refuse(event, f"the YAML tag `{word}` is refused; types follow from the fields")
        else:
            message = f"YAML takes `{word}` as a tag, and tags are refused"
            self.refuse(event, message, Code.YAML_ATE_EXPRESSION, "quotes around an expression that begins with `!`")

    def sequence(self, event: Any, depth: int) -> Sequence:
        items = []
        for inner in self.events:
            if isinstance(inner, SequenceEndEvent):
                break
            items.append(self.node(inner, depth + 1))
        return Sequence(tuple(items), self.place(event.start_mark))

    def mapping(self, event: Any, depth: int) -> Map:
        members: list[Member] = []
        for inner in self.events:
            if isinstance(inner, MappingEndEvent):
                break
            key = self.node(inner, depth + 1)
            value = next(self.events)
            members.append(Member(inner, key, self.node(value, depth + 1), value))
        if event.flow_style:
            members, problems = rejoined(members, self.text)
            self.problems.extend(problems)
        return Map(self._entries(members), self.place(event.start_mark))

    def _entries(self, members: list[Member]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for member in members:
            if not isinstance(member.key, Scalar):
                self.refuse(member.key_event, "a key must be text, not a list or a map")
                continue
            name = member.key.text
            if name == "<<" and member.key.style == "plain":
                self.refuse(member.key_event, "`<<` merges maps in YAML 1.1 only; write the fields, or use an overlay")
            elif name in entries:
                first = entries[name].place
                message = f"`{name}` stands here a second time; the first is at {first.line}:{first.column}"
                self.refuse(member.key_event, message, Code.DUPLICATE_KEY)
            else:
                entries[name] = Entry(self.place(member.key_event.start_mark), member.value)
        return entries


def _size(node: Node) -> int:
    """Nodes of a tree. Bounded: whatever is in the tree was counted against the cap already."""
    return 1 + sum(_size(below) for _, below in children(node))
