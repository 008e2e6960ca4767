"""Words of the language that this version does not have yet: they do not parse, and the message says when they come.

Everything that is built moves from this table into the settings of its part.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import Map, Node, Path, Scalar, key_place, matching, node_at, place_of, without
from penstock.pipelines.problem import Code, Problem, nearest_name
from penstock.pipelines.shape import fields_of
from penstock.pipelines.trigger_choice import kind_word

THIS_VERSION = "0.1"


class Later(NamedTuple):
    """A field, or only some of its values: those in `only`, or all but `now`, which is what this version does."""

    pattern: str
    version: str
    only: frozenset[str] = frozenset()
    now: str | None = None

    def means(self, node: Node) -> bool:
        value = node.value if isinstance(node, Scalar) else None
        return value in self.only if self.only else self.now is None or value != self.now

    @property
    def by_value(self) -> bool:
        return bool(self.only) or self.now is not None


def _fields(parent: str, version: str, *names: str) -> list[Later]:
    return [Later(f"{parent}{name}", version) for name in names]


LATER: tuple[Later, ...] = (
    *_fields("", "0.2", "signers"),
    *_fields("", "0.4", "tools"),
    *_fields("", "0.5", "budgets"),
    *_fields("", "0.6", "privacy"),
    Later("kafka.client", "0.2", frozenset({"confluent"})),
    Later("kafka.sasl.mechanism", "0.2", frozenset({"GSSAPI"})),
    *_fields("sources.*.", "0.4", "media"),
    *_fields("context.window.", "0.4", "images"),
    Later("context.summary", "0.4", frozenset({"model"})),
    *_fields("models.*.", "0.4", "input", "context"),
    *_fields("models.*.", "0.5", "limits"),
    *_fields("agents.*.", "0.4", "tools", "coalesce", "samples"),
    Later("agents.*.loop", "0.4", now="once"),
    Later("agents.*.stale", "0.4", now="queue"),
    *_fields("agents.*.", "0.5", "escalate"),
    *_fields("agents.*.limits.", "0.4", "steps"),
    *_fields("agents.*.limits.", "0.5", "cost"),
    *_fields("outputs.", "0.4", "approvals"),
    *_fields("outputs.", "0.7", "audit"),
    *_fields("outputs.dead.", "0.6", "payload"),
)


class Kept(NamedTuple):
    """What is left of the tree, and a problem for everything that was taken out."""

    root: Map
    problems: list[Problem]


def without_later(root: Map) -> Kept:
    """The tree with only what this version knows."""
    kept, problems = _known_kinds(root)
    for later in LATER:
        for path, node in list(matching(kept, later.pattern)):
            if later.means(node) and (later.by_value or not _is_built(kept, path)):
                problems.append(_later(kept, path, node, later))
                kept = _map(without(kept, path))
    return Kept(kept, problems)


def _is_built(root: Map, path: Path) -> bool:
    """A word of triggers that this trigger's kind has already; others will have it later."""
    trigger = node_at(root, path[:2]) if path[0] == "triggers" else None
    settings = TRIGGERS.get(kind_word(trigger.entries) or "") if isinstance(trigger, Map) else None
    return settings is not None and path[-1] in fields_of(settings)


def _map(node: Node) -> Map:
    """`without` gives a map for a map; the types cannot say so."""
    if not isinstance(node, Map):
        raise TypeError(f"expected the root to stay a map, found {node!r}")
    return node


def _later(root: Map, path: Path, node: Node, later: Later) -> Problem:
    shown = later.by_value and isinstance(node, Scalar)
    word = f"{path[-1]}: {node.text}" if shown and isinstance(node, Scalar) else str(path[-1])
    place = place_of(root, path) if shown else key_place(root, path)
    return Problem(Code.NOT_BUILT_YET, place, later_sentence(word, later.version))


def later_sentence(word: str, version: str) -> str:
    return f"`{word}` comes with version {version}; this is {THIS_VERSION}"


def _known_kinds(root: Map) -> Kept:
    """The tree with those triggers that are of exactly one kind that this version has."""
    problems: list[Problem] = []
    triggers = root.get("triggers")
    kept = root
    for name, entry in triggers.entries.items() if isinstance(triggers, Map) else ():
        problem = _kind_problem(root, ("triggers", name), entry.node)
        if problem is not None:
            problems.append(problem)
            kept = _map(without(kept, ("triggers", name)))
    return Kept(kept, problems)


def _kind_problem(root: Map, path: Path, trigger: Node) -> Problem | None:
    if not isinstance(trigger, Map):
        return None
    words = [word for word in trigger.entries if word in TRIGGERS]
    known = ", ".join(f"`{word}`" for word in TRIGGERS)
    if len(words) > 1:
        message = f"trigger `{path[-1]}` has two kinds, `{words[0]}` and `{words[1]}`"
        return Problem(
            Code.TRIGGER_KIND, key_place(root, (*path, words[1])), message, expected=f"exactly one of {known}"
        )
    if not words:
        message = f"trigger `{path[-1]}` does not say when it fires"
        nearest = next(filter(None, (nearest_name(word, TRIGGERS) for word in trigger.entries)), None)
        return Problem(Code.TRIGGER_KIND, key_place(root, path), message, expected=f"one of {known}", nearest=nearest)
    return None
