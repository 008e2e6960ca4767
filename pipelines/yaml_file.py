"""Bytes of a file to a tree, with every mistake that can be found in one go.

After a syntax error that is understood, the text is mended and read again, so that the problems below it are found, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.pipelines.document import Map, Node
from penstock.pipelines.problem import LINE_BREAK, Code, Place, Problem
from penstock.pipelines.yaml_mistake import diagnose
from penstock.pipelines.yaml_tree import NotYaml, read_tree

SIZE_MAX = 1024 * 1024
MENDED_MAX = 20
"""Syntax errors that are mended in one file before the reader gives up on it."""


@dataclass(frozen=True)
class YamlFile:
    """`root` is None where no tree came out; `text` is the file as it is, for the lines in messages.

    `mended` are the lines that were mended: whatever else is said about them would stand under the wrong character.
    """

    name: str
    text: str
    root: Map | None
    problems: tuple[Problem, ...]
    mended: frozenset[int] = frozenset()


def read_yaml(name: str, content: bytes) -> YamlFile:
    """Never raises; whatever is wrong with the bytes is a problem."""
    if len(content) > SIZE_MAX:
        message = f"the file has {len(content)} bytes; a pipeline has at most {SIZE_MAX}"
        return _unread(name, "", Problem(Code.UNREADABLE, Place(name, 1, 1), message))
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        readable = content[: error.start].decode("utf-8")
        lines = LINE_BREAK.split(readable)
        place = Place(name, len(lines), len(lines[-1]) + 1)
        message = f"the file is not UTF-8: byte 0x{content[error.start]:02x}"
        return _unread(name, readable, Problem(Code.UNREADABLE, place, message))
    return _parsed(name, text)


def _unread(name: str, text: str, problem: Problem) -> YamlFile:
    return YamlFile(name, text, None, (problem,))


def _parsed(name: str, text: str) -> YamlFile:
    mistakes: list[Problem] = []
    mended: str | None = text
    while mended is not None and len(mistakes) < MENDED_MAX:
        try:
            read = read_tree(mended, name)
        except NotYaml as stop:
            diagnosis = diagnose(mended, name, stop.error, stop.message)
            mistakes.append(diagnosis.problem)
            mended = diagnosis.mended
            continue
        lines = frozenset(mistake.place.line for mistake in mistakes)
        others = [problem for problem in read.problems if problem.place.line not in lines]
        root = _root(name, read.root, others)
        return YamlFile(name, text, root, (*mistakes, *others), lines)
    return YamlFile(name, text, None, tuple(mistakes))


def _root(name: str, root: Node | None, problems: list[Problem]) -> Map | None:
    if isinstance(root, Map):
        return root
    if not problems:
        place = root.place if root is not None else Place(name, 1, 1)
        what = "the file is empty" if root is None else "the file is not a map of fields"
        problems.append(Problem(Code.NOT_A_PIPELINE, place, what, expected="`penstock: v1`, `name:`, `sources:` …"))
    return None
