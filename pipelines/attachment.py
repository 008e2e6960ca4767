"""`{file: prompts/ssh.md}`: texts and schemas that stand in files beside the pipeline's.

They are read once, at load: what was checked is what runs, and the digest covers it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from penstock.operators.agent_plan import FileReference
from penstock.pipelines.document import Map, Path, Scalar
from penstock.pipelines.problem import Code, Problem
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.substitute import ReadText, reason


class Attachments(NamedTuple):
    """Contents by path as written, and a problem for each file that cannot be read."""

    files: Mapping[str, str]
    problems: list[Problem]


def attachments(root: Map, read_text: ReadText) -> Attachments:
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for _, named in references(root):
        try:
            files[named.text] = read_text(named.text)
        except (OSError, ValueError) as error:
            message = f"`{named.text}` cannot be read: {reason(error)}; the path is relative to the pipeline's file"
            problems.append(Problem(Code.FILE_REFERENCE, named.place, message))
    return Attachments(files, problems)


def references(root: Map) -> Iterator[tuple[Path, Scalar]]:
    """Every `{file: path}` where the settings allow one: where it stands, and its path."""
    for part in parts(Spec, root):
        named = file_named(part.node)
        if named is not None and any(option.kind is FileReference for option in part.options):
            yield part.path, named


def file_named(node: object) -> Scalar | None:
    """The path in a map that holds `file` and nothing else; `answer: {file: {type: string}}` is a field called file."""
    if not isinstance(node, Map) or node.entries.keys() != {"file"}:
        return None
    named = node.get("file")
    return named if isinstance(named, Scalar) and isinstance(named.value, str) else None
