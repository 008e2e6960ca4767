"""Bytewax with its own Kafka source and sink, without recovery: as fast as it is, and nothing is promised. See `meter.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as windowing
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from meter import BOOTSTRAP, COUNT, OUTPUT, TOPIC, WINDOW_SECONDS, WORK, Meter

meter = Meter()
EPOCH = datetime.fromtimestamp(0, UTC)


def parsed(message: Any) -> tuple[str, Any]:
    meter.see()
    event = orjson.loads(message.value)
    return event["key"], event


def counted(state: int | None, event: Any) -> tuple[int, int]:
    total = (state or 0) + 1
    return total, total


def told(item: tuple[str, Any]) -> KafkaSinkMessage[bytes, bytes]:
    key, total = item
    if WORK == "sum":
        meter.told += 1
    return KafkaSinkMessage(key.encode(), orjson.dumps(total))


def main() -> None:
    flow = Dataflow("bench")
    source = KafkaSource([BOOTSTRAP], [TOPIC], tail=False)
    events = op.map("parse", op.input("in", flow, source), parsed)
    if WORK == "count":
        totals = op.stateful_map("count", events, counted)
        results: op.KeyedStream[Any] = op.filter("at", totals, lambda item: meter.tells(item[1]))
    else:
        clock: windowing.EventClock[Any] = windowing.EventClock(
            lambda event: EPOCH + timedelta(milliseconds=event["ts"]), timedelta(0)
        )
        windows = windowing.TumblingWindower(timedelta(seconds=WINDOW_SECONDS), EPOCH)
        added = windowing.fold_window(
            "sum",
            events,
            clock,
            windows,
            float,
            lambda total, event: total + event["amount"],
            lambda one, two: one + two,
        )
        results = added.down
    op.output("out", op.map("tell", results, told), KafkaSink([BOOTSTRAP], OUTPUT))
    run_main(flow)
    if meter.seen != COUNT:
        raise SystemExit(f"read {meter.seen} of {COUNT} events")
    meter.say()


if __name__ == "__main__":
    main()
