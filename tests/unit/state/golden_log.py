"""A log that has a little of everything, and the files in which the logs of former formats are kept.

    python -m tests.unit.state.golden_log      writes the files of the present format that are not there yet

A file holds the records of a log, one a line. What is there stays as it is: logs like it exist.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path

from tests.oracle.stand import Stand

from penstock.operators.event import Ask, Streamed
from penstock.operators.record import Record
from penstock.state.codec import Joiner, LogRecord, decode, records_of
from penstock.state.delta import FORMAT, Entry

FOLDER = Path(__file__).with_name("golden")
PIPELINE = (FOLDER / "pipeline.yaml").read_text(encoding="utf-8")
GATES = (FOLDER / "gates.yaml").read_text(encoding="utf-8")
EVENTS = [(1, "a", 3), (2, "a", 4), (3, "b", 5), (4, "a", 6)]


def stand_with_log() -> Stand:
    """An episode with a run that is being asked, a cooldown, a digest that is due, a dead letter, and an image in between."""
    stand = Stand(PIPELINE)
    stand.cut("opened")
    stand.feed(*[stand.event(time, x=x, v=v) for time, x, v in EVENTS[:2]], stand.raw(b"no JSON"))
    stand.cut()
    stand.snapshot(0, 2)
    stand.snapshot(1, 2)
    effects = stand.feed(*[stand.event(time, x=x, v=v) for time, x, v in EVENTS[2:]])
    [ask] = [effect for effect in effects if isinstance(effect, Ask)]
    stand.task.feed(Streamed(ask.call_id, '{"verdict": "attack", "why": "be'))
    stand.cut()
    return stand


def stand_with_gates() -> Stand:
    """What a limit has counted and who is inhibited, each in an image and in a delta after it."""
    stand = Stand(GATES)
    stand.cut("opened")
    stand.feed(stand.event(1, x="t"), stand.event(8, x="f"))
    stand.cut()
    stand.snapshot(0, 1)
    stand.feed(stand.event(9, x="f"), stand.event(10, x="t"), stand.event(11, x="f"))
    stand.cut()
    return stand


def golden_entries(path: Path) -> list[Entry]:
    """What the records in a file come to."""
    joiner, entries = Joiner(), []
    for offset, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        found = json.loads(line)
        headers = tuple((name, value.encode()) for name, value in found["headers"].items())
        joined = joiner.add(Record("log", 3, offset, 0, found["key"].encode(), b64decode(found["value"]), headers))
        if joined is not None:
            entries.append(joined.entry)
    return entries


def _line(record: LogRecord) -> str:
    headers = {name: value.decode() for name, value in record.headers}
    return json.dumps({"key": record.key.decode(), "headers": headers, "value": b64encode(record.value).decode()})


def write() -> None:
    for name, stand in (("format", stand_with_log), ("gates", stand_with_gates)):
        path = FOLDER / f"{name}_{FORMAT}.jsonl"
        if not path.exists():
            records = [record for data in stand().log for record in records_of(decode(data), incarnation=1)]
            path.write_text("".join(f"{_line(record)}\n" for record in records), encoding="utf-8")


if __name__ == "__main__":
    write()
