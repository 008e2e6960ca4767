"""A process that runs the inputs of a pipeline, and no worker, until it is killed: `input_process.py PIPELINE SQLITE_FILE`."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from random import Random

from penstock.connectors.clock import MachineClock
from penstock.pipelines.brokers import Wanted, make_missing_sources, member_name, open_broker
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.inputs import inputs_of
from penstock.pipelines.load import load_pipeline


async def main(file: str, path: str) -> None:
    logging.basicConfig(level="INFO")
    loaded = load_pipeline([Path(file)], environ={})
    assert loaded.spec is not None, loaded.problems
    pipeline, clock = compile_pipeline(loaded), MachineClock()
    broker = open_broker(f"sqlite:{path}", Wanted(pipeline.layout, loaded.spec.kafka, member_name()))
    await make_missing_sources(broker, pipeline.layout.inputs)
    await broker.start()
    inputs = inputs_of(loaded.spec.sources, pipeline.plan.sources, broker, clock, Random())
    assert inputs is not None
    await inputs.run(lambda problem: sys.exit(f"failed: {problem!r}"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
