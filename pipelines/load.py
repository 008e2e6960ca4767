"""From the files of a pipeline to a `Spec`, or to everything that is wrong with them.

    read ─▶ overlay ─▶ --set ─▶ ${…} ─▶ {file: …} ─▶ what comes later is taken out ─▶ spec, lint ─▶ problems by position
    └────────── one tree with positions, the same from the first stage to the last ──────────┘

Every stage goes on after a mistake with what it could read. Nothing is opened but the files that are named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from penstock.pipelines.attachment import Attachments, attachments
from penstock.pipelines.definition import definition_text
from penstock.pipelines.document import Json, Map, Node, Scalar, matching, plain_value, with_node, without
from penstock.pipelines.lint import lint
from penstock.pipelines.not_yet import without_later
from penstock.pipelines.overlay import SET, merged, with_sets
from penstock.pipelines.problem import Code, Place, Problem, has_errors, settled
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.spec_problem import spec_problems
from penstock.pipelines.substitute import ReadText, Substitution, reason
from penstock.pipelines.yaml_file import SIZE_MAX, YamlFile, read_yaml

FREE = "x-"
"""Keys of the root that begin so are the user's own: a home for anchors."""


@dataclass(frozen=True)
class Loaded:
    """`spec` is None exactly if one of the problems is an error.

    `resolved` is the document as it takes effect, secrets masked. `digest` names it, its secrets and the files that it
    refers to; `files` are their contents by the paths that the document uses; `folder` is what such paths start from.
    `agents_text` is what the log keeps of it; empty without a spec.
    """

    spec: Spec | None
    problems: list[Problem]
    resolved: dict[str, Json]
    digest: str
    folder: Path
    files: Mapping[str, str]
    agents_text: str

    def read_file(self, path: str) -> str:
        """A file that the document refers to, as it was when it was checked. Raises KeyError for any other."""
        return self.files[path]


def load_pipeline(paths: Sequence[Path], *, sets: Sequence[str] = (), environ: Mapping[str, str]) -> Loaded:
    """The file `paths[0]`, the overlays behind it, single values on top. Bad input is problems, never an exception."""
    folder = paths[0].parent
    files = [read_file(path) for path in paths]
    texts = {file.name: file.text for file in files} | ({SET: "\n".join(sets)} if sets else {})
    problems = [problem for file in files for problem in file.problems]
    base = _overlaid(files)
    if base is None:
        return _loaded(None, settled(problems, texts), Map({}, Place("", 1, 1)), Attachments({}, []), folder)
    root, found = with_sets(base, sets)
    substitution = Substitution(environ, file_reader(folder))
    root = _marked(_without_free(substitution.map(root)))
    attached = attachments(root, lambda path: _bytes(folder / path))
    spec, more = _checked(root, attached.files)
    mended = {(file.name, line) for file in files for line in file.mended}
    problems += [*found, *substitution.problems]
    problems += [
        problem for problem in (*attached.problems, *more)
        if (problem.place.file, problem.place.line) not in mended and problem.place not in substitution.failed
    ]  # fmt: skip
    shown = [_hidden(problem, substitution.secrets) for problem in settled(problems, texts)]
    return _loaded(spec, shown, root, attached, folder)


def file_reader(folder: Path) -> ReadText:
    """Reads files that a pipeline names, relative to its folder. Raises OSError or ValueError."""

    def read(path: str) -> str:
        return _bytes(folder / path).decode("utf-8")

    return read


def _bytes(path: Path) -> bytes:
    """At most a byte more than a pipeline may have, so that naming a device is a message and not the end."""
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise ValueError(f"it is larger than {SIZE_MAX} bytes")
    return content


def read_file(path: Path) -> YamlFile:
    """Never raises: a file that cannot be read is a problem, too."""
    name = str(path)
    try:
        return read_yaml(name, _bytes(path))
    except (OSError, ValueError) as error:
        problem = Problem(Code.UNREADABLE, Place(name, 1, 1), f"the file cannot be read: {reason(error)}")
        return YamlFile(name, "", None, (problem,))


def _overlaid(files: Sequence[YamlFile]) -> Map | None:
    """None if the pipeline's own file gave no tree; an overlay without one is left out, its problems say why."""
    root = files[0].root
    for overlay in files[1:]:
        if root is not None and overlay.root is not None:
            root = merged(root, overlay.root)
    return root


def _without_free(root: Map) -> Map:
    return Map({name: entry for name, entry in root.entries.items() if not name.startswith(FREE)}, root.place)


def _marked(root: Map) -> Map:
    """The tree with every value marked that stands in a field for secrets, wherever it came from, or is text in any case.

    The latter are values from outside, which nobody can put in quotes: a commit, a password or a user of digits only.
    """
    for part in list(parts(Spec, root)):
        if not isinstance(part.node, Scalar):
            continue
        from_outside = bool(part.node.pieces) or part.node.place.file == SET
        marked = replace(
            part.node,
            secret=part.node.secret or part.secret,
            as_text=from_outside and part.only_text,
        )
        if marked != part.node:
            changed = with_node(root, part.path, marked, part.node.place)
            root = changed if isinstance(changed, Map) else root
    return root


def _checked(root: Map, files: Mapping[str, str]) -> tuple[Spec | None, list[Problem]]:
    known, problems = without_later(root)
    spec = None
    try:
        spec = Spec.model_validate(plain_value(known))
    except ValidationError as error:
        problems += spec_problems(error, known, root)
    said = {problem.place for problem in problems}
    problems += [problem for problem in lint(known, files) if problem.place not in said]
    return spec, problems


def _hidden(problem: Problem, secrets: Collection[str]) -> Problem:
    """The problem without the content of any secret file, which a validator may have quoted."""
    message = problem.message
    for secret in secrets:
        if secret:
            message = message.replace(secret, "***")
    return replace(problem, message=message)


def _loaded(spec: Spec | None, problems: list[Problem], root: Map, attached: Attachments, folder: Path) -> Loaded:
    resolved = plain_value(root, secret=lambda _: "***")
    return Loaded(
        spec=None if has_errors(problems) else spec,
        problems=problems,
        resolved=resolved if isinstance(resolved, dict) else {},
        digest=_digest(root, attached.files),
        folder=folder,
        files=attached.files,
        agents_text="" if spec is None or has_errors(problems) else definition_text(spec, root, attached.files),
    )


def _digest(root: Map, files: Mapping[str, str]) -> str:
    """SHA-256 of the document in one spelling. Order counts: that of `derive` and of `models` means something.

    Secrets go in as hashes of their own, so that the text that is hashed may be shown to anybody. How Kafka is reached is no
    part of it, nor is what fills a topic: that may differ from host to host, and decides nothing.
    """
    meaning: Node = Map({name: entry for name, entry in root.entries.items() if name != "kafka"}, root.place)
    for path, _ in list(matching(root, "sources.*.input")):
        meaning = without(meaning, path)
    document = plain_value(meaning, secret=_sha256)
    attached = {path: _sha256(content) for path, content in sorted(files.items())}
    canonical = json.dumps([document, attached], ensure_ascii=True, separators=(",", ":"))
    return f"sha256:{_sha256(canonical)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
