"""What a scenario expects beside what happened: the differences, and nothing but the differences.

expected    A  B     D         A and B as they are, C happened and was not expected, D differs in a field
happened    A  B  C  D'
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from penstock.pipelines.scenario import Among, Expect
from penstock.pipelines.scenario_play import Played, View
from penstock.pipelines.scenario_time import Moment

SECTIONS = ("firings", "prompts", "results", "resolved", "corrections")
TELLING = {
    "firings": ("trigger", "key", "by"),
    "prompts": ("agent", "trigger", "key"),
    "results": ("trigger", "triggers", "key", "by"),
    "resolved": ("trigger", "key", "by"),
    "corrections": ("trigger", "key", "by"),
}
"""What makes two items of a section two different ones, and not one with a difference."""
_GAP = 1000
_TEXTS = ("contains", "lacks")


class Nothing:
    """There is no value."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class Field:
    """A value that differs; `path` leads to it within its item."""

    path: str
    expected: Any
    actual: Any


Kind = Literal["differs", "missing", "extra", "forbidden"]


@dataclass(frozen=True, slots=True)
class Difference:
    """An item that is not as expected. `place` counts from 0 in what was expected, for what is extra in what happened."""

    section: str
    kind: Kind
    place: int
    item: Mapping[str, Any]
    """What happened; what was expected where it is missing."""
    fields: tuple[Field, ...] = ()


def compared(expect: Expect, played: Played) -> list[Difference]:
    """Empty if everything is as expected."""
    differences = _never_fired(played) if expect.none else []
    for section in SECTIONS:
        expected = getattr(expect, section)
        if expected is not None:
            differences += _section(section, expected, getattr(played, section))
    fields = tuple(_counts(expect.counts, played.counters))
    return [*differences, Difference("counts", "differs", 0, {}, fields)] if fields else differences


def _never_fired(played: Played) -> list[Difference]:
    return [Difference("firings", "extra", place, firing) for place, firing in enumerate(played.firings)]


def _section(section: str, expected: Any, happened: Sequence[View]) -> Iterator[Difference]:
    if isinstance(expected, Among):
        yield from _any(section, [_written(item) for item in expected.any], happened)
        yield from _never(section, [_written(item) for item in expected.never], happened)
    else:
        yield from _exactly(section, [_written(item) for item in expected], happened)


def _written(item: Any) -> dict[str, Any]:
    """Only what stands in the file, of which nothing else counts."""
    return item if isinstance(item, dict) else dict(item.model_dump(exclude_unset=True))


def _any(section: str, expected: Sequence[dict[str, Any]], happened: Sequence[View]) -> Iterator[Difference]:
    """The nearest one is named where none is as expected."""
    for place, item in enumerate(expected):
        found = [(tuple(_misfits(item, view)), view) for view in happened]
        near = [each for each in found if _same(section, item, each[1])]
        best = min(near, key=lambda each: len(each[0]), default=None)
        if best is None:
            yield Difference(section, "missing", place, item)
        elif best[0]:
            yield Difference(section, "differs", place, best[1], best[0])


def _never(section: str, expected: Sequence[dict[str, Any]], happened: Sequence[View]) -> Iterator[Difference]:
    for place, item in enumerate(expected):
        for view in happened:
            if not any(_misfits(item, view)):
                yield Difference(section, "forbidden", place, view)


def _exactly(section: str, expected: Sequence[dict[str, Any]], happened: Sequence[View]) -> Iterator[Difference]:
    pairs = _aligned(section, expected, happened)
    extra = [found for wanted, found in pairs if wanted is None and found is not None]
    for wanted, found in pairs:
        if wanted is None:
            continue
        if found is not None:
            fields = tuple(_misfits(expected[wanted], happened[found]))
        elif (moved := _first_fitting(expected[wanted], happened, extra)) is not None:
            extra.remove(moved)
            found, fields = moved, (Field("place", wanted + 1, moved + 1),)
        else:
            yield Difference(section, "missing", wanted, expected[wanted])
            continue
        if fields:
            yield Difference(section, "differs", wanted, happened[found], fields)
    yield from (Difference(section, "extra", found, happened[found]) for found in extra)


def _first_fitting(expected: dict[str, Any], happened: Sequence[View], places: Sequence[int]) -> int | None:
    """It did happen, but in another place of the order."""
    return next((place for place in places if not any(_misfits(expected, happened[place]))), None)


def _aligned(
    section: str, expected: Sequence[dict[str, Any]], happened: Sequence[View]
) -> list[tuple[int | None, int | None]]:
    """The way through both lists with the most pairs, and of those the one with the fewest differences.

    The least cost from every place to the ends of both is found from behind, as for the distance of two texts.
    """
    height, width = len(expected), len(happened)
    cost = [[0] * (width + 1) for _ in range(height + 1)]
    for wanted in range(height, -1, -1):
        for found in range(width, -1, -1):
            ways = list(_ways(section, expected, happened, wanted, found))
            cost[wanted][found] = min((price + cost[w][f] for price, w, f in ways), default=0)
    pairs: list[tuple[int | None, int | None]] = []
    wanted = found = 0
    while (wanted, found) != (height, width):
        ways = list(_ways(section, expected, happened, wanted, found))
        _, w, f = min(ways, key=lambda way: way[0] + cost[way[1]][way[2]])
        pairs.append((wanted if w > wanted else None, found if f > found else None))
        wanted, found = w, f
    return pairs


def _ways(
    section: str, expected: Sequence[dict[str, Any]], happened: Sequence[View], wanted: int, found: int
) -> Iterator[tuple[int, int, int]]:
    """Steps from a place in both lists: their price, and where they lead."""
    in_expected, in_happened = wanted < len(expected), found < len(happened)
    if in_expected and in_happened and _same(section, expected[wanted], happened[found]):
        yield min(sum(1 for _ in _misfits(expected[wanted], happened[found])), _GAP), wanted + 1, found + 1
    if in_expected:
        yield _GAP, wanted + 1, found
    if in_happened:
        yield _GAP, wanted, found + 1


def _same(section: str, expected: Mapping[str, Any], view: View) -> bool:
    return not any(name in expected and any(_misfit(expected[name], view.get(name))) for name in TELLING[section])


# --- values -------------------------------------------------------------------------------------------------------


def _misfits(expected: Mapping[str, Any], view: View) -> Iterator[Field]:
    for name, value in expected.items():
        if name in _TEXTS and "text" in view and name not in view:
            yield from _TEXT_CHECKS[name](value, view["text"])
        else:
            yield from _misfit(value, view.get(name, NOTHING), name)


def _misfit(expected: Any, actual: Any, path: str = "") -> Iterator[Field]:
    """Of a map what is expected, of a list everything."""
    match expected, actual:
        case dict(), dict():
            for name, value in expected.items():
                yield from _misfit(value, actual.get(name, NOTHING), f"{path}.{name}")
        case list(), list() if len(expected) == len(actual):
            for place, (value, found) in enumerate(zip(expected, actual, strict=True)):
                yield from _misfit(value, found, f"{path}[{place}]")
        case _:
            if not _equal(expected, actual):
                yield Field(path, expected, actual)


def _equal(expected: Any, actual: Any) -> bool:
    """`true` is not 1; numbers may differ where doubles do."""
    if isinstance(actual, Moment):
        return actual.is_written(expected)
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-12)
    return bool(expected == actual)


def _contained(expected: Any, text: str) -> Iterator[Field]:
    """Of a text that is not there the nearest line is shown."""
    for part in [expected] if isinstance(expected, str) else expected:
        if part not in text:
            near = get_close_matches(part, [line for line in text.splitlines() if line], n=1, cutoff=0.3)
            yield Field("contains", part, near[0] if near else NOTHING)


def _lacking(expected: Any, text: str) -> Iterator[Field]:
    for part in [expected] if isinstance(expected, str) else expected:
        if part in text:
            line = next((line for line in text.splitlines() if part in line), part)
            yield Field("lacks", part, line)


_TEXT_CHECKS: Mapping[str, Callable[[Any, str], Iterator[Field]]] = {"contains": _contained, "lacks": _lacking}


def _counts(expected: Mapping[str, int | dict[str, int]], counters: Counter[tuple[str, ...]]) -> Iterator[Field]:
    for what, count in expected.items():
        if isinstance(count, dict):
            for which, of_it in count.items():
                if counters[what, which] != of_it:
                    yield Field(f"{what}.{which}", of_it, counters[what, which])
        else:
            total = counted(counters, what)
            if total != count:
                yield Field(what, count, total)


def counted(counters: Counter[tuple[str, ...]], what: str) -> int:
    """Over all sources, triggers or reasons."""
    return sum(count for name, count in counters.items() if name[0] == what)
