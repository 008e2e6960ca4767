"""Routes: results that are written to further topics, as they are.

    results   … │ final │ failed │ resolved │          every outcome, every end of an episode
                    │                 │  where: 'labels.severity == "critical" && state in ["final", "resolved"]'
    pages     … │ final │          │ resolved │         the same key, headers and value, in the same transaction

A route looks at the record as it is written, so its condition means what a consumer of the results would find. The topics
stand in the file: none is ever made of what a record says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import msgspec
import orjson

from penstock.operators.condition import count_doubt
from penstock.operators.expression import UNKNOWN, Compiled, Scope, Unknown
from penstock.operators.key_state import Counts
from penstock.operators.record import Output
from penstock.operators.result import FIELDS

RESULT_SCOPE = Scope(
    roots=frozenset(FIELDS),
    advice="a route sees the fields of the result, such as labels.severity, answer.verdict or why.values.failures",
)
_MAPS_OR_NULL = ("answer", "episode")
"""Where a record has none, what stands in them is missing, which is no mistake in the type of anything."""


@dataclass(frozen=True, slots=True)
class Route:
    """A further topic, and the results that go there, too."""

    topic: str
    where: Compiled


def routed(output: Output, routes: Sequence[Route], counters: Counts) -> list[Output]:
    """The result once more for each topic that it is routed to, in the order of the file; unknown does not route."""
    fields = orjson.loads(output.value or b"{}")
    for name in _MAPS_OR_NULL:
        if fields[name] is None:
            fields[name] = UNKNOWN
    result = SimpleNamespace(**fields)
    return [msgspec.structs.replace(output, topic=topic) for topic in _topics(result, routes, counters)]


def _topics(result: SimpleNamespace, routes: Iterable[Route], counters: Counts) -> dict[str, None]:
    """Each once. Every condition is asked, so that its doubts are counted whatever stands beside it."""
    topics: dict[str, None] = {}
    for route in routes:
        found = route.where.evaluate(None, (), result)
        if found.__class__ is Unknown:
            count_doubt(counters, route.where.text, found)
        if found is True:
            topics[route.topic] = None
    return topics
