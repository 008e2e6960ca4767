"""Sequences: which steps may follow each other, what they may be called, and what may be read of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from penstock.operators.expression import RESERVED_NAMES
from penstock.operators.sequence import PARTIALS_MAX
from penstock.pipelines.document import Map, Node, Path, Scalar, Sequence, key_place, matching, node_at
from penstock.pipelines.problem import Code, Problem

SEQUENCE, NOT, NAME, TIMES, WITHIN = "sequence", "not", "as", "times", "within"


class Captures(NamedTuple):
    """What an expression of a step can read of others: of those `before` it in their order, and not of those `coming`."""

    before: tuple[str, ...] = ()
    coming: frozenset[str] = frozenset()


def captures_at(root: Map, path: Path) -> Captures:
    """For an expression at this path; nothing outside of a sequence."""
    if path[:1] != ("triggers",) or path[2:3] != (SEQUENCE,):
        return Captures()
    named = list(_named(root, path[:3]))
    before = {name: None for name, number in named if number < int(path[3])}
    return Captures(tuple(before), frozenset(name for name, _ in named if name not in before))


def step_names(root: Map, trigger: str) -> list[str]:
    """Of a trigger that may be of another kind."""
    return [name for name, _ in _named(root, ("triggers", trigger, SEQUENCE))]


def _named(root: Map, path: Path) -> Iterator[tuple[str, int]]:
    """Names of steps, and at which item of the sequence they stand."""
    items = node_at(root, path)
    for number, item in enumerate(items.items if isinstance(items, Sequence) else ()):
        name = item.get(NAME) if isinstance(item, Map) else None
        if isinstance(name, Scalar) and isinstance(name.value, str):
            yield name.text, number


def ends_with_not(items: Node) -> bool:
    """The items of a sequence."""
    return isinstance(items, Sequence) and bool(items.items) and _is_not(items.items[-1])


def sequence_problems(root: Map) -> Iterator[Problem]:
    for path, items in matching(root, f"triggers.*.{SEQUENCE}"):
        if isinstance(items, Sequence):
            trigger = node_at(root, path[:2])
            yield from _order(root, path, items)
            yield from _names(root, path)
            if isinstance(trigger, Map):
                yield from _length(root, path, trigger, items)
                yield from _late(trigger, items)


def _late(trigger: Map, items: Sequence) -> Iterator[Problem]:
    """An event of any time may begin it, also of a time of which everything has been told and forgotten."""
    late, fire = trigger.get("late"), trigger.get("fire")
    arrival = isinstance(fire, Scalar) and fire.text == "arrival"
    if isinstance(late, Scalar) and late.text == "reason" and ends_with_not(items) and not arrival:
        message = "what did not come after a late event may have been told before, and would be told again"
        expected = "a sequence that does not end with `not`, `fire: arrival`, or no `late`"
        yield Problem(Code.WRONG_VALUE, late.place, message, expected=expected)


def _order(root: Map, path: Path, items: Sequence) -> Iterator[Problem]:
    """A `not` stands between two steps or after the last one, and alone."""
    before: Node | None = None
    if not items.items:
        yield Problem(Code.WRONG_VALUE, key_place(root, path), "the sequence is empty", expected="a step, with `where`")
    for number, item in enumerate(items.items):
        if not _is_not(item):
            before = item
            continue
        place = key_place(root, (*path, number, NOT))
        if before is None:
            yield Problem(
                Code.WRONG_VALUE, place, "a sequence cannot begin with `not`", expected="a step before it, with `where`"
            )
        elif _is_not(before):
            message = "two `not` follow each other"
            yield Problem(Code.WRONG_VALUE, place, message, expected="one `not` whose conditions are joined by `||`")
        elif item is items.items[-1] and not _has(item, WITHIN):
            message = "the `not` at the end of a sequence lacks `within`: it fires when this time is over"
            yield Problem(Code.MISSING_FIELD, place, message)
        before = item


def _names(root: Map, path: Path) -> Iterator[Problem]:
    defines = root.get("define")
    taken = defines.entries if isinstance(defines, Map) else {}
    seen: set[str] = set()
    for name, number in _named(root, path):
        place = key_place(root, (*path, number, NAME))
        if name in RESERVED_NAMES or name in taken:
            what = "is a definition" if name in taken else "means something already"
            yield Problem(Code.RESERVED_NAME, place, f"`{name}` {what}; a step needs another name")
        elif name in seen:
            yield Problem(Code.RESERVED_NAME, place, f"two steps are called `{name}`; a step needs a name of its own")
        seen.add(name)


def _length(root: Map, path: Path, trigger: Map, items: Sequence) -> Iterator[Problem]:
    times = [_times(item) for item in items.items if not _is_not(item)]
    if sum(times) > 1 and WITHIN not in trigger.entries:
        message = (
            f"the sequence of trigger `{path[1]}` lacks `within`: how long it may take from the first event to the last"
        )
        yield Problem(Code.MISSING_FIELD, key_place(root, path), message, expected="for example `within: 10m`")
    if times and times[0] > PARTIALS_MAX and not _is_not(items.items[0]):
        message = f"`times` of the first step is {times[0]}, and at most {PARTIALS_MAX} beginnings of a sequence are remembered"
        expected = f"`count`, as in `when: count(…, 10m) >= {times[0]}`"
        yield Problem(Code.WRONG_VALUE, key_place(root, (*path, 0, TIMES)), message, expected=expected)


def _is_not(item: Node) -> bool:
    return _has(item, NOT)


def _has(item: Node, field: str) -> bool:
    return isinstance(item, Map) and field in item.entries


def _times(item: Node) -> int:
    """1 where it is no number: that is said elsewhere."""
    node = item.get(TIMES) if isinstance(item, Map) else None
    return node.value if isinstance(node, Scalar) and isinstance(node.value, int) else 1
