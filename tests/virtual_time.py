"""An event loop in which waiting takes no time: when nobody can run, the next timer is due at once.

Only for what is in memory: nothing from outside can arrive while time jumps. A run is a function of its inputs, so a test
that failed fails again.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

BEGINNING_MS = 1_795_000_000_000


TURN_SECONDS = 1e-6
"""A turn of the loop takes some time: with none at all, a wait that is too short to be told from none would never end."""


class _JumpingSelector(selectors.BaseSelector):
    """Never blocks: what the loop would have waited is added to its time."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits and no timer is set: nothing will ever happen")
        self.passed += max(TURN_SECONDS, timeout)
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed


class VirtualClock:
    """`WallClock` of the running virtual loop."""

    def now(self) -> int:
        return BEGINNING_MS + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Hook for a `conftest.py`: the async tests of modules that say `VIRTUAL_TIME = True` run on a virtual loop."""
    module = getattr(item, "module", None)
    return {"virtual": VirtualLoop} if getattr(module, "VIRTUAL_TIME", False) else {"real": asyncio.new_event_loop}
