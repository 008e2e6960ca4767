"""Where results go: topics that mean one thing each, and routes that name what a result has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from penstock.operators.expression_error import ExpressionError, Place
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Member, Name, walk
from penstock.operators.result import PARTS
from penstock.pipelines.attachment import file_named
from penstock.pipelines.document import Map, Path, Scalar, matching
from penstock.pipelines.problem import Code, Problem, nearest_name
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.spec import Spec

OUTPUT_TOPICS = (
    "outputs.results", "outputs.partials", "outputs.partials.topic", "outputs.partials.preview", "outputs.dead",
    "outputs.dead.topic", "outputs.latest", "outputs.latest.topic",
)  # fmt: skip
ROUTE_TOPICS = "outputs.routes.*.topic"
_DEFAULTS = {
    "results": ("outputs.results",),
    "partials": ("outputs.partials", "outputs.partials.topic"),
    "previews": ("outputs.partials.preview",),
    "dead": ("outputs.dead", "outputs.dead.topic"),
}
"""What an output is called unless one of these says otherwise: {namespace}.{name}.<what>."""


def output_topic_problems(root: Map) -> Iterator[Problem]:
    """What a pipeline writes it must not read, and every output has a topic of its own: records are known by their topic.

    Only routes may share one: a result is written to it once.
    """
    taken = _own_topics(root)
    for path, node in _texts(root, "sources.*.topic"):
        yield from _taken_topic(path, node, taken)
    taken |= {node.text: f"read by source `{path[1]}`" for path, node in _texts(root, "sources.*.topic")}
    for pattern in OUTPUT_TOPICS:
        for path, node in _texts(root, pattern):
            yield from _taken_topic(path, node, taken)
            taken.setdefault(node.text, f"written as `{_shown(path)}`")
    for path, node in _texts(root, ROUTE_TOPICS):
        yield from _taken_topic(path, node, taken)


def _taken_topic(path: Path, node: Scalar, taken: Mapping[str, str]) -> Iterator[Problem]:
    if node.text in taken:
        message = f"the topic `{node.text}` is {taken[node.text]} already"
        yield Problem(Code.SAME_TOPIC, node.place, message, expected=f"another topic for `{_shown(path)}`")


def _own_topics(root: Map) -> dict[str, str]:
    """Those that have a name without being named."""
    namespace = next((node.text for _, node in _texts(root, "namespace")), Spec.model_fields["namespace"].default)
    prefix = ".".join([namespace, *(node.text for _, node in _texts(root, "name"))])
    own = {f"{prefix}.log": "the log of the pipeline"}
    for what, patterns in _DEFAULTS.items():
        if not any(_is_named(root, pattern) for pattern in patterns):
            own[f"{prefix}.{what}"] = f"written as `{patterns[0]}`"
    return own


def _is_named(root: Map, pattern: str) -> bool:
    return next(_texts(root, pattern), None) is not None


def _shown(path: Path) -> str:
    """`outputs.routes[1].topic`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def route_problems(root: Map) -> Iterator[Problem]:
    """A name within a field of the result that none of this pipeline's results will have: it would never be routed."""
    known = _known_parts(root)
    for _, node in _texts(root, "outputs.routes.*.where"):
        for field, name, place in _parts_named(node.text):
            names = known.get(field)
            if names is not None and name not in names:
                yield _no_such_part(node, field, name, place, names)


def _no_such_part(node: Scalar, field: str, name: str, place: Place, names: Collection[str]) -> Problem:
    message = f"the `{field}` of a result has no `{name}`"
    expected = (
        ", ".join(sorted(names)) if names else f"another field: no result of this pipeline has anything in `{field}`"
    )
    nearest = nearest_name(name, sorted(names))
    return Problem(Code.EXPRESSION, place_in(node, place.offset), message, expected=expected, nearest=nearest)


def _known_parts(root: Map) -> dict[str, Collection[str]]:
    """By field; without those of which the file alone does not tell."""
    known: dict[str, Collection[str]] = {**PARTS, "labels": _keys(root, "labels", "triggers.*.labels")}
    known["annotations"] = _keys(root, "triggers.*.annotations")
    if not any(file_named(node) for _, node in matching(root, "agents.*.answer")):
        known["answer"] = _keys(root, "agents.*.answer")
    return known


def _keys(root: Map, *patterns: str) -> set[str]:
    maps = (node for pattern in patterns for _, node in matching(root, pattern) if isinstance(node, Map))
    return {name for node in maps for name in node.entries}


def _parts_named(text: str) -> Iterator[tuple[str, str, Place]]:
    """(field, name in it, where), such as `labels.severity`. A text that does not parse is told of elsewhere."""
    try:
        tree = parse(text)
    except ExpressionError:
        return
    for node in walk(tree):
        if isinstance(node, Member) and isinstance(node.of, Name):
            yield node.of.name, node.name, node.place


def _texts(root: Map, pattern: str) -> Iterator[tuple[Path, Scalar]]:
    for path, node in matching(root, pattern):
        if isinstance(node, Scalar) and isinstance(node.value, str):
            yield path, node
