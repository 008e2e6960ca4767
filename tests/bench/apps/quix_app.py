"""Quix Streams, exactly-once: a state per key, or its tumbling windows, told when they are over. See `meter.py`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from meter import BOOTSTRAP, FOLDER, OUTPUT, TOPIC, WINDOW_SECONDS, WORK, Meter
from quixstreams import Application, State

meter = Meter()


def main() -> None:
    app = Application(
        broker_address=BOOTSTRAP,
        consumer_group=f"{TOPIC}-{OUTPUT}",
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=FOLDER,
        commit_interval=1.0,
    )
    source = app.topic(TOPIC, key_deserializer="str", value_deserializer="json")
    output = app.topic(OUTPUT, key_serializer="str", value_serializer="json")

    def seen(event: dict[str, Any]) -> dict[str, Any]:
        if meter.see():
            app.stop()
        return event

    frame = app.dataframe(source).apply(seen)
    if WORK == "count":
        frame.apply(count, stateful=True).filter(lambda total: meter.tells(total)).to_topic(output)
    else:
        amounts = frame.apply(lambda event: event["amount"])
        amounts.tumbling_window(timedelta(seconds=WINDOW_SECONDS)).sum().final().apply(told).to_topic(output)
    app.run()
    meter.say()


def count(event: dict[str, Any], state: State) -> int:
    total: int = state.get("count", 0) + 1
    state.set("count", total)
    return total


def told(window: dict[str, Any]) -> dict[str, Any]:
    meter.told += 1
    return window


if __name__ == "__main__":
    main()
