"""A trigger that has fired keeps others of the same key quiet: from its firing until it resolves, or for its cooldown.

episodic      ·  F━━━━━━━━━━━━R  ·        inhibits from F to before R
cooldown 3    ·  F━━━━━━━━━)  ·  ·        to before the end of its cooldown
no cooldown   ·  F  ·  ·  ·  ·  ·         that instant alone

Instants are those of the decision: N of the key for what arrival decides, the firing's own time for what the watermark does.
The latter looks back at what arrival decided before, so former inhibitions are kept for as long as somebody may ask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Inhibition(NamedTuple):
    """From `since` to before `until` (ms); None: until the episode of `run` is over. `group` is the part of the key that it is
    about, where there are parts."""

    since: int
    until: int | None
    run: str | None = None
    group: str | None = None


class Inhibitor(NamedTuple):
    """Another trigger, by name. `apart`: both see keys in parts, by the same; then it inhibits within a part only."""

    name: str
    apart: bool = False


Inhibitions = tuple[Inhibition, ...]
"""Of one trigger of one key, in the order in which they began."""


def begun(known: Inhibitions, inhibition: Inhibition, settled: int) -> Inhibitions:
    """One more; those that were over at `settled` go: nothing is decided for an instant before it any more."""
    left = (former for former in known if former.until is None or former.until > settled)
    return (*left, inhibition)


def ended(known: Inhibitions, run: str, at: int) -> Inhibitions:
    """The episode of this run was over at `at`."""
    return tuple(each._replace(until=at) if each.run == run and each.until is None else each for each in known)


def inhibits(known: Inhibitions, instant: int, group: str | None = None) -> bool:
    """Whether one of them covers the instant; with `group`, of those about this part."""
    return any(
        each.since <= instant and (each.until is None or instant < each.until) and group in (None, each.group)
        for each in known
    )


def load(dumped: Iterable[Sequence[Any]]) -> Inhibitions:
    return tuple(Inhibition(*each) for each in dumped)


def inhibitors_first(inhibited_by: Mapping[str, Collection[str]]) -> list[str]:
    """The names of all triggers, each behind its inhibitors, otherwise in their order. There must be no cycle."""
    order: list[str] = []
    left = list(inhibited_by)
    while left:
        ready = next(name for name in left if not any(each in left for each in inhibited_by[name]))
        order.append(ready)
        left.remove(ready)
    return order


def cycle_in(inhibited_by: Mapping[str, Collection[str]]) -> list[str]:
    """The names of one cycle, in the order in which they inhibit one another; empty where there is none."""
    left = dict(inhibited_by)
    while ready := [name for name, others in left.items() if not any(other in left for other in others)]:
        for name in ready:
            del left[name]
    path = list(left)[:1]
    while path:
        following = next(other for other in sorted(left[path[-1]]) if other in left)
        if following in path:
            return path[path.index(following) :]
        path.append(following)
    return []
