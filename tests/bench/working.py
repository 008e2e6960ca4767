"""A worker of the product, in the process that measures it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from tests.bench.figure import CannotRun

from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.run import Session
from penstock.pipelines.worker import Worker

PIPELINES = Path(__file__).parent / "pipelines"
OPEN_POLL, READ_POLL = 0.001, 0.005


def pipeline_of(text: str) -> Pipeline:
    """A pipeline as written in a file. Raises Rejected where it has errors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(text)
        return compile_pipeline(load_pipeline([path], environ={}))


def pipeline_named(name: str, *, topic: str, namespace: str = "bench") -> Pipeline:
    """One of `pipelines/`, over this topic."""
    path = PIPELINES / f"{name}.yaml"
    sets = [f"namespace={namespace}", f"sources.events.topic={topic}"]
    return compile_pipeline(load_pipeline([path], sets=sets, environ={}))


async def cpu_until_read(worker: Worker, topic: str, count: int) -> tuple[float, float]:
    """CPU and wall seconds of this process from the first fetch of the one task until `count` records are committed."""
    session = await opened(worker)
    cpu, wall = time.process_time(), time.perf_counter()
    await until_read(worker, session, topic, count)
    return time.process_time() - cpu, time.perf_counter() - wall


async def until_read(worker: Worker, session: Session, topic: str, count: int) -> None:
    """Until so many records are read and committed, and nothing is left to do. Raises CannotRun if the session is lost."""
    while not (session.quiet_since is not None and session.progress[topic].position >= count):
        if not any(keeper.session is session for keeper in worker.keepers):
            raise CannotRun("the session was lost while it was measured")
        await asyncio.sleep(READ_POLL)


async def opened(worker: Worker) -> Session:
    """The session of the one task, as soon as it takes in records."""
    while True:
        for keeper in worker.keepers:
            if keeper.session is not None and keeper.session.working_since is not None:
                return keeper.session
        await asyncio.sleep(OPEN_POLL)
