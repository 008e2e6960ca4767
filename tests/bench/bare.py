"""What a person would write by hand for one program, one window and no restart: the floor of the in-process benchmark."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import orjson

MINUTE = 60_000


def sliding(values: Iterable[bytes], at_least: int = 30) -> int:
    """How often a key comes to have so many events within a minute."""
    times: dict[str, deque[int]] = {}
    on: set[str] = set()
    fired = 0
    for value in values:
        event = orjson.loads(value)
        key, time = event["key"], event["ts"]
        window = times.get(key)
        if window is None:
            window = times[key] = deque()
        window.append(time)
        while window[0] <= time - MINUTE:
            window.popleft()
        if len(window) < at_least:
            on.discard(key)
        elif key not in on:
            on.add(key)
            fired += 1
    return fired


def tumbling(values: Iterable[bytes]) -> int:
    """How many counts there are of keys in minutes that are over."""
    counts: dict[str, int] = {}
    minute = told = 0
    for value in values:
        event = orjson.loads(value)
        key, number = event["key"], -(-event["ts"] // MINUTE)
        if number > minute:
            told += len(counts)
            counts, minute = {}, number
        counts[key] = counts.get(key, 0) + 1
    return told
