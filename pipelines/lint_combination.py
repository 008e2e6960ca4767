"""Combinations (`any`, `all`): what a member may be, and that firings without an end come within a time."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.trigger import TriggerSettings
from penstock.operators.trigger_after import AfterSettings
from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import Map, Path, Scalar, Sequence, key_place, matching, node_at
from penstock.pipelines.problem import Code, Problem
from penstock.pipelines.trigger_choice import kind_word

WORDS = tuple(word for word, settings in TRIGGERS.items() if settings.combines)


def combination_problems(root: Map) -> Iterator[Problem]:
    for word in WORDS:
        for path, members in matching(root, f"triggers.*.{word}"):
            if isinstance(members, Sequence):
                yield from _members(root, members)
                yield from _endless(root, path, members)


def _members(root: Map, members: Sequence) -> Iterator[Problem]:
    """Those that are no triggers at all are told with other names that refer to nothing."""
    seen: set[str] = set()
    for node in members.items:
        if not isinstance(node, Scalar):
            continue
        why = "stands there twice" if node.text in seen else _unfit(root, node.text)
        seen.add(node.text)
        if why is not None:
            expected = "triggers that look at the whole key, each once"
            yield Problem(Code.MEMBER, node.place, f"trigger `{node.text}` {why}", expected=expected)


def _unfit(root: Map, name: str) -> str | None:
    """Why a trigger cannot be a member."""
    settings, trigger = _kind(root, name), node_at(root, ("triggers", name))
    if settings is None or not isinstance(trigger, Map):
        return None
    if settings.combines:
        return "is made of other triggers itself: name these"
    if issubclass(settings, AfterSettings):
        return "looks at answers, which come at a time of their own"
    return "watches parts of the key (`by`)" if "by" in trigger.entries else None


def _kind(root: Map, name: str) -> type[TriggerSettings] | None:
    trigger = node_at(root, ("triggers", name))
    return TRIGGERS.get(kind_word(trigger.entries) or "") if isinstance(trigger, Map) else None


def _endless(root: Map, path: Path, members: Sequence) -> Iterator[Problem]:
    """Only an episode can be under way at the same time as another."""
    trigger = node_at(root, path[:2])
    if path[2] != "all" or not isinstance(trigger, Map) or "within" in trigger.entries:
        return
    for node in members.items:
        settings = _kind(root, node.text) if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and settings is not None and not settings.lasts and not settings.combines:
            kind = next(word for word, each in TRIGGERS.items() if each is settings)
            why = f"`{node.text}` is of the kind `{kind}`, which begins nothing that lasts"
            message = f"the `all` of trigger `{path[1]}` lacks `within`: {why}"
            expected = "for example `within: 10m`"
            yield Problem(Code.MISSING_FIELD, key_place(root, path), message, expected=expected)
            return
