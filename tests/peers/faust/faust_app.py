"""The workload for Faust: `faust -A faust_app worker`, in the environment of its own that `requirements.txt` describes.

Everything that its documents say of exactly-once is `processing_guarantee="exactly_once"`, and tables of production are to be
in `rocksdb://`. Besides that: what all systems get (session time-out, a commit every second), and what a broker of one node
needs. With FAUST_LENIENT=1 its workers do not end in recovery: the table is in memory (the default), restored from the
changelog at every start, and its position is not compared with the end of the changelog.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust

EVERY = 20
LENIENT = os.environ.get("FAUST_LENIENT") == "1"

app = faust.App(
    os.environ["PEER_GROUP"],
    broker=f"kafka://{os.environ['PEER_BOOTSTRAP']}",
    processing_guarantee="exactly_once",
    store="memory://" if LENIENT else "rocksdb://",
    recovery_consistency_check=not LENIENT,
    datadir=os.environ["PEER_FOLDER"],
    broker_session_timeout=float(os.environ["PEER_SESSION_SECONDS"]),
    broker_heartbeat_interval=float(os.environ["PEER_SESSION_SECONDS"]) / 3,
    broker_commit_interval=1.0,
    topic_partitions=3,
    topic_replication_factor=1,
    topic_disable_leader=True,
    canonical_url=f"http://{Path(os.environ['PEER_FOLDER']).name}:6066",  # names the worker; `--without-web` opens no port
    web_enabled=False,
)
source = app.topic(os.environ["PEER_SOURCE"], key_serializer="raw", value_serializer="json")
output = app.topic(os.environ["PEER_OUTPUT"], key_serializer="raw", value_serializer="json")
counts = app.Table("counts", default=int)


async def count(events: AsyncIterator[dict[str, Any]]) -> None:
    async for event in events:
        key = event["key"]
        counts[key] += 1
        if counts[key] % EVERY == 0:
            await output.send(key=key.encode(), value={"key": key, "count": counts[key], "n": event["n"]})


app.agent(source)(count)
