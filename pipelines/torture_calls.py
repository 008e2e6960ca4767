"""The ledger of model calls, as the model server kept it: what was asked, what was paid, and what was paid again.

A call is paid for when it begins. The first call of a run is due; every other one was paid again, and there is one excuse:
the task was opened anew in between, because its process died, stopped, left or was told to give it up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from penstock.pipelines.torture_story import Problem

LATE_SECONDS, CLOCK_SECONDS = 2.0, 0.1
"""Whoever loses a task may learn it a little after the other one wrote that it is his; and clocks are read in two places."""


@dataclass(slots=True)
class Call:
    """One request; times in monotonic seconds. `said` is what was generated in full, None where it was not."""

    name: str
    run: str
    begun: float
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of a run that asked: when its answer was seen, the answer, and when its task was opened (sorted)."""

    outcome_at: float
    answer: Mapping[str, Any] | None
    opened: Sequence[float]


@dataclass
class Bill:
    """`paid_again` calls are those with the excuse, `problems` everything else."""

    paid_again: int = 0
    problems: list[Problem] = field(default_factory=list)


def read_calls(lines: Iterable[bytes]) -> list[Call]:
    """What `penstock fake-model --log` wrote. A last line that is cut off is left out."""
    calls: dict[str, Call] = {}
    for line in lines:
        if not line.endswith(b"\n"):
            break
        noted: dict[str, Any] = orjson.loads(line)
        name = noted["id"]
        if noted["event"] == "begun":
            calls[name] = Call(name, name.partition(".")[0], noted["at"])
        elif noted["event"] == "finished":
            calls[name].said = noted["said"]
    return list(calls.values())


def bill(calls: Iterable[Call], runs: Mapping[str, Judged]) -> Bill:
    """`runs` are all that had to ask: a call for another one was for nothing."""
    asked: dict[str, list[Call]] = {run: [] for run in runs}
    found = Bill()
    for call in sorted(calls, key=lambda call: call.begun):
        if call.run in asked:
            asked[call.run].append(call)
        else:
            found.problems.append(Problem("repaid", f"{call.name} was asked for a run that there is not"))
    for run, judged in runs.items():
        _charge(found, judged, asked[run])
        if not any(call.said is not None and orjson.loads(call.said) == judged.answer for call in asked[run]):
            found.problems.append(Problem("contradicted", f"{run} says what no model said: {judged.answer}"))
    return found


def _charge(found: Bill, judged: Judged, asked: Sequence[Call]) -> None:
    timely = [call for call in asked if call.begun <= judged.outcome_at]
    for call in asked[len(timely) :]:
        found.problems.append(Problem("repaid", f"{call.name} was asked after its answer was there for all to see"))
    if not timely:
        return
    excuses = _between(judged.opened, timely[0].begun - LATE_SECONDS, timely[-1].begun + CLOCK_SECONDS)
    found.paid_again += min(len(timely) - 1, excuses)
    for call in timely[1 + excuses :]:
        found.problems.append(Problem("repaid", f"{call.name} was asked again by a task that nobody had opened anew"))


def _between(times: Sequence[float], first: float, last: float) -> int:
    return bisect_right(times, last) - bisect_left(times, first)
