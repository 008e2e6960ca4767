"""From the `events` of a scenario to records, as a producer would have written them, and to time that passes.

    events    0s ──────── 19s              600s + 19s
              │ repeat 20 │ advance: 10m ┄┄┄┄┄┄┄┄┄│ end: true
    deeds     Come × 20     Pass                    End

An event happens at its `at`: that is its record's timestamp, and it is put into the field that the source takes its time from
where the event has no such field. Without an `at`, a record that says its own time (a line of a recording) arrives then.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

from penstock.operators.decode_csv import CsvFormat
from penstock.operators.error import Rejected
from penstock.operators.plan import Plan
from penstock.operators.record import DeadLetter, Headers, Record
from penstock.operators.source import PLAIN_FIELD, Source, SourceSettings, time_settings
from penstock.operators.table import TableSettings
from penstock.operators.timestamp import EARLIEST_MS, LATEST_MS, TimeSettings, time_writer
from penstock.pipelines.recording import recorded_lines
from penstock.pipelines.scenario import Scenario, Step, Tables, line_range
from penstock.pipelines.scenario_time import event_time_ms
from penstock.pipelines.spec import Spec

DAY_MS = 86_400_000
HALF_YEAR_MS = 182 * DAY_MS
NO_TIMESTAMP = -1
"""As Kafka writes it."""


@dataclass(frozen=True, slots=True)
class Come:
    """A record arrives at `at` (ms since the epoch), which is its timestamp, too."""

    at: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """So many ms pass, and nothing arrives."""

    ms: int


@dataclass(frozen=True, slots=True)
class End:
    """Every input is over."""


Deed = Come | Pass | End


def source_name(step: Step, spec: Spec) -> str | None:
    """The source that the records of a step come from; None where there are several and it names none."""
    if step.source is not None or len(spec.sources) > 1:
        return step.source
    return next(iter(spec.sources))


def table_name(step: Step, spec: Spec) -> str | None:
    """The table whose row a step changes; None where there are several, or none, and it names none."""
    return next(iter(spec.tables)) if step.table is None and len(spec.tables) == 1 else step.table


def rows(tables: Tables, spec: Spec, start: int) -> Iterator[Come]:
    """Rows that are there when a scenario begins."""
    for name, by_key in tables.items():
        for key, fields in by_key.items():
            yield _row_of(spec.tables[name], key, fields, start)


def _row_of(table: TableSettings, key: str | None, fields: dict[str, Any] | None, at: int) -> Come:
    value = None if fields is None else _written(fields, table.format)
    return Come(at, table.topic, None if key is None else key.encode(), value)


def deeds(scenario: Scenario, spec: Spec, plan: Plan, folder: Path, start: int) -> Iterator[Deed]:
    """What happens, in order. `folder` is where paths of recordings begin.

    Raises Rejected for a recording that cannot be read or has no such lines, and for times beyond the calendar.
    """
    latest = start
    sources = {source.name: source for source in plan.sources}
    for step in scenario.events:
        if step.end:
            yield End()
        elif step.advance is not None:
            latest += step.advance
            yield Pass(step.advance)
        elif "row" in step.deeds:
            table = table_name(step, spec)
            assert table is not None, "the scenario was checked"
            latest = latest if step.at is None else max(latest, event_time_ms(step.at, start, latest))
            yield _row_of(spec.tables[table], step.key, step.row, latest)
        else:
            name = source_name(step, spec)
            assert name is not None, "the scenario was checked"
            at = latest if step.at is None else event_time_ms(step.at, start, latest)
            for come in _coming(step, spec.sources[name], sources[name], folder, at):
                latest = max(latest, come.at)
                yield come


def _coming(step: Step, settings: SourceSettings, source: Source, folder: Path, at: int) -> Iterator[Come]:
    """Records arrive when the scenario says; where it does not, when they themselves say, in order."""
    key = None if step.key is None else step.key.encode()
    headers = tuple((header, text.encode()) for header, text in step.headers.items())
    last = at
    for time, value in _values(step, settings, folder, at):
        come = Come(last if time is None else time, source.topic, key, value, headers)
        if step.at is None:
            come = replace(come, at=_own_time(source, come))
        last = come.at
        yield come


def _own_time(source: Source, come: Come) -> int:
    """The time that a record says itself, however far after `come.at`; that one where it says none.

    A time without a year is read as of the year nearest to the record's timestamp: half a year on it is still the same.
    """
    for timestamp in (come.at, come.at + HALF_YEAR_MS, NO_TIMESTAMP):
        read = source.decode(Record(come.topic, 0, 0, timestamp, come.key, come.value, come.headers))
        if not isinstance(read, DeadLetter):
            return read[1]
        if read.reason != "ahead":
            break
    return come.at


def _values(step: Step, source: SourceSettings, folder: Path, at: int) -> Iterator[tuple[int | None, bytes | None]]:
    """Times and values of the records; None for what comes with the one before it, if it says nothing else."""
    if step.file is not None:
        yield from ((None, line) for line in _recorded(folder / step.file, step.lines))
        return
    times, every = (1, 0) if step.repeat is None else (step.repeat.times, step.repeat.every)
    for number in range(times):
        time = _in_calendar(at + number * every)
        names = _Names(str(time_writer(_written_times(source))(time)), number + 1)
        if step.text is not None:
            yield from ((time, names.filled(line).encode()) for line in step.text.splitlines() if line)
        else:
            yield time, _encoded(names.filled_in(step.event), source, time)


def _recorded(path: Path, lines: str | None) -> Iterator[bytes]:
    first, last = (1, None) if lines is None else line_range(lines)
    numbered = takewhile(lambda line: last is None or line[0] <= last, recorded_lines(path))
    found = (value for number, value in numbered if number >= first)
    begin = next(found, None)
    if begin is None:
        which = "lines" if lines is None else f"lines {lines}"
        raise Rejected(f"it has no {which}", where=str(path), remedy="a recording holds one record a line")
    return chain([begin], found)


def _in_calendar(time: int) -> int:
    """Raises Rejected for a time that cannot be written in every zone."""
    if not EARLIEST_MS + DAY_MS <= time <= LATEST_MS - DAY_MS:
        raise Rejected("an event lies before the year 1 or after 9999", remedy="look at `start`, `at` and `every`")
    return time


@dataclass(frozen=True, slots=True)
class _Names:
    """What `{time}` and `{n}` stand for in one event."""

    time: str
    number: int

    def filled(self, text: str) -> str:
        return text.replace("{time}", self.time).replace("{n}", str(self.number))

    def filled_in(self, value: Any) -> Any:
        """In every text of a JSON value."""
        match value:
            case str():
                return self.filled(value)
            case list():
                return [self.filled_in(part) for part in value]
            case dict():
                return {name: self.filled_in(part) for name, part in value.items()}
            case _:
                return value


def _written_times(source: SourceSettings) -> TimeSettings:
    """How the source reads times; of one that goes by the record's timestamp, how it would."""
    return time_settings(source) or TimeSettings(at="record.timestamp")


def _encoded(event: dict[str, Any] | None, source: SourceSettings, time: int) -> bytes | None:
    if event is None:
        return None
    settings = _written_times(source)
    field = PLAIN_FIELD.fullmatch(settings.at)
    if field is not None and field[1] not in event and field[1] not in source.derive:
        event = {**event, field[1]: time_writer(settings)(time)}
    return _written(event, source.format)


def _written(fields: dict[str, Any], form: Any) -> bytes:
    if isinstance(form, CsvFormat):
        return _cells(fields, form)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _cells(event: dict[str, Any], form: CsvFormat) -> bytes:
    """The cells in the order of the columns; what the event lacks is an empty one."""
    out = StringIO()
    cells = [event.get(column) for column in form.csv.columns]
    csv.writer(out, delimiter=form.csv.delimiter, lineterminator="").writerow(cells)
    return out.getvalue().encode()
