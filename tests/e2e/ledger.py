"""What a consumer may expect of the topics, checked from the outside: nothing lost, nothing twice, nothing contradicted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from penstock.operators.record import Raw
from penstock.pipelines.torture_story import OUTCOMES, Record, Story

COMPARED = ("state", "reason", "agent", "key", "episode", "triggers", "labels", "annotations", "answer", "end")
"""Fields of a result that must not depend on the transport, the batches, the processes or what happened to them."""

Told = tuple[str, str]
"""A run and the state that is told of it; for a dead letter its coordinates and `dead`."""


@dataclass(frozen=True)
class Ledger:
    """Everything that lies on the output topics of one deployment, each topic partition by partition in offset order."""

    results: Sequence[Raw]
    partials: Sequence[Raw]
    dead: Sequence[Raw]

    def told(self) -> dict[Told, str]:
        """What has been decided, as canonical text. Where something is told twice, the last one; `violations` finds that."""
        told = {(record["run"], record["state"]): _substance(record) for record in map(_parsed, self.results)}
        return told | {(_grave(raw), "dead"): str(raw.value) for raw in self.dead}

    def violations(self) -> list[str]:
        """What is wrong with it whatever was to be expected, now that all has been told."""
        return [*self._twice(), *self._streams(), *self._results_beside_partials()]

    def contradictions(self, expected: Mapping[Told, str]) -> list[str]:
        """What can never become right any more, although more will be told, and although topics were read one after the other."""
        told = self.told()
        invented = [f"invented: {each}" for each in sorted(told.keys() - expected.keys())]
        both = sorted(expected.keys() & told.keys())
        changed = [f"changed: {each}: {told[each]}" for each in both if told[each] != expected[each]]
        return [*self._twice(), *invented, *changed]

    def differences(self, expected: Mapping[Told, str]) -> list[str]:
        """Everything that tells it from the ledger of an undisturbed run, now that all has been told."""
        lost = [f"lost: {each}" for each in sorted(expected.keys() - self.told().keys())]
        return [*lost, *self.contradictions(expected), *self.violations()]

    def partial_count(self) -> int:
        return sum(record["state"] == "partial" for record in map(_parsed, self.partials))

    def attempts(self) -> Counter[int]:
        """How many runs needed how many attempts."""
        outcomes = (record for record in map(_parsed, self.results) if record["state"] in OUTCOMES)
        return Counter(record["attempt"] or 0 for record in outcomes)

    def _twice(self) -> Iterator[str]:
        outcomes = Counter(record["run"] for record in map(_parsed, self.results) if record["state"] in OUTCOMES)
        resolved = Counter(record["run"] for record in map(_parsed, self.results) if record["state"] == "resolved")
        graves = Counter(map(_grave, self.dead))
        for what, counts in (("outcomes", outcomes), ("resolved records", resolved), ("dead letters", graves)):
            yield from (f"{count} {what} of {name}" for name, count in counts.items() if count > 1)

    def _streams(self) -> Iterator[str]:
        """What a consumer of the partials topic is promised; and every run has its outcome."""
        stories: dict[str, Story] = defaultdict(Story)
        for record in map(_parsed, self.partials):
            yield from (problem.text for problem in stories[record["run"]].told(record))
        yield from (f"{run} has no outcome" for run, story in stories.items() if not story.has_outcome)

    def _results_beside_partials(self) -> Iterator[str]:
        """The partials topic carries the outcomes, too, byte for byte."""
        there = Counter(raw.value for raw in self.partials if _parsed(raw)["state"] != "partial")
        here = Counter(raw.value for raw in self.results)
        yield from (f"not on both topics: {value!r}" for value in (there - here) + (here - there))


def _substance(record: Record) -> str:
    why = {name: value for name, value in record["why"].items() if name != "route"}
    kept = {name: record[name] for name in COMPARED} | {"why": why}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def _grave(raw: Raw) -> str:
    """Where a dead record lay when it was alive."""
    headers = {name: value.decode() for name, value in raw.headers}
    return "{penstock-dead-topic}/{penstock-dead-partition}@{penstock-dead-offset}".format_map(headers)


def _parsed(raw: Raw) -> Record:
    parsed: Record = orjson.loads(raw.value or b"{}")
    return parsed
