"""States by key, and by bucket of the log: what is replaced and restored together."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.operators.bucket import BUCKETS_MAX, finest_bucket
from penstock.operators.context import Context
from penstock.operators.group_watch import GroupWatch
from penstock.operators.key_state import Counts, GroupedKey, KeyState
from penstock.operators.plan import Plan
from penstock.operators.slots import Blank


class KeyTable:
    """Of one task. Finding a key and beginning one are O(1)."""

    def __init__(self, plan: Plan, group_watch: GroupWatch | None, counters: Counts) -> None:
        self._settings, self._group_watch, self._counters = plan.context, group_watch, counters
        self._blank, self._no_cells = Blank.of(plan.slots), (None,) * len(plan.triggers)
        self._states: dict[str, KeyState] = {}
        self._by_bucket: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[KeyState]:
        return iter(self._states.values())

    def __getitem__(self, name: str) -> KeyState:
        return self._states[name]

    def find(self, name: str) -> KeyState | None:
        return self._states.get(name)

    def get_or_new(self, name: str) -> KeyState:
        state = self._states.get(name)
        if state is None:
            state = self._new(name)
            self._states[name] = state
            self._by_bucket.setdefault(finest_bucket(name), []).append(name)
        return state

    def _new(self, name: str) -> KeyState:
        grouped, context = self._group_watch, Context(self._settings)
        if grouped is None:
            return KeyState(name, context, self._blank, self._no_cells, self._counters)
        return GroupedKey(name, context, self._blank, self._no_cells, self._counters, grouped.groups())

    def drop(self, name: str) -> None:
        """O(keys / BUCKETS_MAX)."""
        if self._states.pop(name, None) is not None:
            self._by_bucket[finest_bucket(name)].remove(name)

    def in_bucket(self, index: int, of: int) -> list[KeyState]:
        """The keys whose hash falls into `index` modulo `of` (a power of two).

        O(keys found + BUCKETS_MAX / of).
        """
        return [
            self._states[name] for finest in range(index, BUCKETS_MAX, of) for name in self._by_bucket.get(finest, ())
        ]

    def forget(self, name: str, since: int | None) -> None:
        """As `Forgotten` says; whoever comes next finds a new key. While restoring, pins of runs that come after it stay."""
        former = self._states.get(name)
        if former is None:
            return
        self.drop(name)
        context = former.context
        context.forget(numbers_go_on=since is not None)
        if since is not None or context.pinned:
            anew = self.get_or_new(name)
            anew.context = context
            if since is not None:
                anew.now = anew.last = since
