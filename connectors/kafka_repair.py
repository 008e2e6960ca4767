"""What the last commit in the log left undone, and what lies beyond it (protocol rule 6). Pure: it is told what was found.

    log      … │ d7 │ d8: results up to 40 are known; a, b and c follow │
    results  … 40 │ a │ c │ ◀ end                   b is missing: the `opened` transaction writes it
    results  … 40 │ a │ b │ c │ x │                 x is ours and nothing implies it: the log has lost its end

A commit can be torn by a late copy of the end of the one before. The delta is its first record, and all that it
implies stands in it as it is to be written, so a record that is there is known by its bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from penstock.connectors.kafka_writer import written_value
from penstock.connectors.port import Layout
from penstock.operators.error import Damaged
from penstock.operators.record import Headers, Output, Raw, coordinates
from penstock.operators.result import identity_of, source_of
from penstock.state.delta import Delta


class Span(NamedTuple):
    """Offsets of one partition: the first that is retained or of interest, and the end (exclusive)."""

    start: int
    end: int


class _Written(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Stock:
    """The output topics of one task, held against the last delta of its log.

    `spans`: what there is of partition `partition` of every output topic, seen after fencing and before the end of the log
    was seen. Otherwise a successor's outputs would lie there without their delta.
    """

    def __init__(self, layout: Layout, partition: int, last: Delta | None, spans: Mapping[str, Span]) -> None:
        self._source, self._run_prefix = source_of(layout.namespace, layout.name), f"{partition}-"
        self._spans = spans
        self._seq = -1 if last is None else last.header.seq
        self._known = {} if last is None else last.header.sent
        implied = [] if last is None else last.outputs
        partials = [] if last is None else last.partials
        self._spread = [output for output in implied if output.spread is not None]
        self._expected = [output for output in implied if self._can_be_missed(output.topic)]
        self._compacted = layout.compacted
        self._missing = Counter(map(_as_written, self._expected))
        self._explained = {output.id for output in implied} | {f"{run}/{rev}" for run, _, rev, _ in partials}

    def _can_be_missed(self, topic: str) -> bool:
        """Not where records behind the last known one were deleted, nor where the topic was made anew."""
        known, span = self._known.get(topic), self._spans.get(topic)
        return known is not None and span is not None and span.start <= known + 1 <= span.end

    @property
    def sent(self) -> dict[str, int]:
        """Per topic, up to where all is accounted for."""
        return {topic: span.end - 1 for topic, span in self._spans.items()}

    def to_read(self) -> dict[str, Span]:
        """What has to be looked at: every record in it is for `saw`."""
        topics = {output.topic for output in self._expected}
        spans = {
            topic: Span(max(self._known[topic] + 1, start), end)
            for topic, (start, end) in self._spans.items()
            if topic in self._known
        }
        # A record never comes without the marker of its transaction: behind the last own one there is at least that.
        return {topic: span for topic, span in spans.items() if span.end - span.start > (topic not in topics)}

    def saw(self, raw: Raw) -> None:
        """A committed record. Raises Damaged for one of ours that cannot be there."""
        found = _Written(raw.topic, raw.key, raw.value, tuple(raw.headers))
        if self._missing[found] > 0:
            self._missing[found] -= 1
        elif self._is_unexplained(raw):
            raise Damaged(
                f"{_id_of(raw)} was written after the last entry of the log (seq {self._seq}): the log has lost its end",
                where=coordinates(raw),
                remedy="restore the log's topic with its end, or start afresh under another name",
            )

    def _is_unexplained(self, raw: Raw) -> bool:
        identity = identity_of(raw.headers)
        if identity is None:
            return False
        source, name = identity
        return source == self._source and name.startswith(self._run_prefix) and name not in self._explained

    @property
    def missing(self) -> list[Output]:
        """Outputs of the last delta that were not seen, in their order; and those to any partition, which are not looked for:
        who reads them knows what came before, and leaves it out.

        Of a compacted topic what stands before a record that was seen, under the same key, is not missing: it may have been
        compacted away, and behind that record it would count again.
        """
        left, missing = self._missing.copy(), list[Output]()
        settled = set[tuple[str, bytes | None]]()
        for output in reversed(self._expected):
            written, place = _as_written(output), (output.topic, output.key)
            if left[written] == 0 and output.topic in self._compacted:
                settled.add(place)
            elif left[written] > 0:
                left[written] -= 1
                if place not in settled:
                    missing.append(output)
        return [*self._spread, *missing[::-1]]


def _as_written(output: Output) -> _Written:
    return _Written(output.topic, output.key, written_value(output), output.headers)


def _id_of(raw: Raw) -> str:
    identity = identity_of(raw.headers)
    return "" if identity is None else identity[1]
