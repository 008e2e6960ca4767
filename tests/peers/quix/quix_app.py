"""The workload for Quix Streams: `python quix_app.py`, in the environment of its own that `requirements.txt` describes.

Its documents ask for `processing_guarantee="exactly-once"` and advise a short `commit_interval` with it. Besides that: what all
three systems get (session time-out, a commit every second, transactions of at most 15 s). State is in RocksDB, with a changelog.
"""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

EVERY = 20


def count(event: dict[str, Any], state: State) -> dict[str, Any]:
    total = state.get("count", 0) + 1
    state.set("count", total)
    return {"key": event["key"], "count": total, "n": event["n"]}


def main() -> None:
    session_ms = int(1000 * float(os.environ["PEER_SESSION_SECONDS"]))
    app = Application(
        broker_address=os.environ["PEER_BOOTSTRAP"],
        consumer_group=os.environ["PEER_GROUP"],
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        state_dir=os.environ["PEER_FOLDER"],
        commit_interval=1.0,
        consumer_extra_config={"session.timeout.ms": session_ms, "heartbeat.interval.ms": session_ms // 3},
        producer_extra_config={"transaction.timeout.ms": 15_000},
    )
    source = app.topic(os.environ["PEER_SOURCE"], key_deserializer="str", value_deserializer="json")
    output = app.topic(os.environ["PEER_OUTPUT"], key_serializer="str", value_serializer="json")
    counted = app.dataframe(source).apply(count, stateful=True)
    counted.filter(lambda counted: counted["count"] % EVERY == 0).to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
