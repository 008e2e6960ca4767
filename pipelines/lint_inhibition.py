"""Who inhibits whom: names that exist, no circles, and what cannot work the way that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.inhibition import cycle_in
from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import Map, Path, Scalar, key_place, matching, node_at
from penstock.pipelines.problem import Code, Problem, nearest_name

BY_ARRIVAL = frozenset({"each", "when", "anomaly"})
"""Kinds that decide as events arrive, unless `fire` says otherwise; others wait for the watermark, or for what triggers do."""
ARRIVAL, WATERMARK, COMBINATION, ANSWER = range(4)
_WHY = {
    WATERMARK: "trigger `{}` fires when the watermark has passed, `{}` at once",
    COMBINATION: "trigger `{}` is made of others and looks after all of them, `{}` does not",
    ANSWER: "trigger `{}` fires when an answer has come, `{}` waits for none",
}


def inhibition_problems(root: Map) -> Iterator[Problem]:
    """What stands under `inhibited_by:` of all triggers."""
    triggers = root.get("triggers")
    names = list(triggers.entries) if isinstance(triggers, Map) else []
    inhibited_by: dict[str, set[str]] = {name: set() for name in names}
    for path, node in matching(root, "triggers.*.inhibited_by.*"):
        if not isinstance(node, Scalar):
            continue
        if node.text in inhibited_by:
            inhibited_by[str(path[1])].add(node.text)
            yield from _too_late(root, path, node)
        else:
            yield _unknown(node, [name for name in names if name != path[1]])
    yield from _cycle(root, inhibited_by)


def _unknown(node: Scalar, others: list[str]) -> Problem:
    expected = ", ".join(others) if others else "the name of another trigger, of which there is none"
    message = f'there is no "{node.text}" under `triggers:`'
    return Problem(Code.UNRESOLVED, node.place, message, expected=expected, nearest=nearest_name(node.text, others))


def _cycle(root: Map, inhibited_by: dict[str, set[str]]) -> Iterator[Problem]:
    members = cycle_in(inhibited_by)
    if not members:
        return
    first = min(members, key=list(inhibited_by).index)
    at = members.index(first)
    ring = [*members[at:], *members[:at]]
    message = (
        f"trigger `{first}` would inhibit itself"
        if len(ring) == 1
        else f"these triggers would inhibit one another in a circle: {', '.join(f'`{name}`' for name in ring)}"
    )
    place = key_place(root, ("triggers", first, "inhibited_by"))
    yield Problem(Code.INHIBITION_CYCLE, place, message, expected="one of them that is inhibited by none of the others")


def _too_late(root: Map, path: Path, node: Scalar) -> Iterator[Problem]:
    """Edges that are decided by the time the other one fires."""
    inhibited, inhibitor = str(path[1]), node.text
    turn = _turn(root, inhibitor)
    if turn > _turn(root, inhibited):
        message = f"{_WHY[turn].format(inhibitor, inhibited)}: `{inhibitor}` inhibits only what comes later"
        yield Problem(Code.INHIBITS_LATER, node.place, message, severity="warning")


def _turn(root: Map, name: str) -> int:
    """Who is later decides later; 0 also where that cannot be told."""
    trigger = node_at(root, ("triggers", name))
    kind = next((word for word in TRIGGERS if isinstance(trigger, Map) and word in trigger.entries), None)
    fire = node_at(root, ("triggers", name, "fire"))
    if kind is None or (isinstance(fire, Scalar) and fire.text == "arrival"):
        return ARRIVAL
    if kind in ("after", "semantic"):
        return ANSWER
    if TRIGGERS[kind].combines:
        return COMBINATION
    return WATERMARK if isinstance(fire, Scalar) or kind not in BY_ARRIVAL else ARRIVAL
