"""Faust, exactly-once, its table in RocksDB. It counts only, and leaves without its last commit. See `meter.py`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import faust
from meter import BOOTSTRAP, FOLDER, OUTPUT, TOPIC, Meter

meter = Meter()
app = faust.App(
    f"{TOPIC}-{OUTPUT}",
    broker=f"kafka://{BOOTSTRAP}",
    processing_guarantee="exactly_once",
    store="rocksdb://",
    datadir=FOLDER,
    topic_partitions=1,
    topic_replication_factor=1,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
source = app.topic(TOPIC, key_serializer="raw", value_serializer="json")
output = app.topic(OUTPUT, key_serializer="raw", value_serializer="json")
counts = app.Table("counts", default=int)


async def count(events: AsyncIterator[dict[str, Any]]) -> None:
    async for event in events:
        last, key = meter.see(), event["key"]
        counts[key] += 1
        if meter.tells(counts[key]):
            await output.send(key=key.encode(), value={"key": key, "count": counts[key]})
        if last:
            meter.say()
            os._exit(0)


app.agent(source)(count)
