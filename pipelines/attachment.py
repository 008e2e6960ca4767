"""`{file: prompts/ssh.md}`, `{avro: {schema: reading.avsc}}`: texts and schemas that stand in files beside the pipeline's.

They are read once, at load: what was checked is what runs, and the digest covers it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from penstock.operators.agent_plan import FileReference
from penstock.operators.setting import FileMark
from penstock.pipelines.document import Map, Path, Scalar
from penstock.pipelines.problem import Code, Problem
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.substitute import reason

ReadBytes = Callable[[str], bytes]
"""Path to content. Raises OSError or ValueError; relative paths are relative to the file's folder."""


class Attachments(NamedTuple):
    """Contents by path as written, and a problem for each file that cannot be read."""

    files: Mapping[str, str]
    problems: list[Problem]


def attachments(root: Map, read_bytes: ReadBytes) -> Attachments:
    """Bytes that are no text are kept as base64."""
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for named, is_binary in [*((named, False) for _, named in references(root)), *_paths(root)]:
        try:
            content = read_bytes(named.text)
            files[named.text] = b64encode(content).decode() if is_binary else content.decode()
        except (OSError, ValueError) as error:
            message = f"`{named.text}` cannot be read: {reason(error)}; the path is relative to the pipeline's file"
            problems.append(Problem(Code.FILE_REFERENCE, named.place, message))
    return Attachments(files, problems)


def _paths(root: Map) -> Iterator[tuple[Scalar, bool]]:
    """Every path that stands as it is where the settings expect one, and whether the file holds bytes that are no text."""
    for part in parts(Spec, root):
        mark = part.mark(FileMark)
        if mark is not None and isinstance(part.node, Scalar) and isinstance(part.node.value, str):
            yield part.node, mark.binary


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
