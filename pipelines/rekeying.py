"""The stages of a pipeline with rekeyed sources: what is compiled as one is run as several, each with its own log and group.

    source/0 ─▶ first stage 0 ─┐                        ┌─▶ rekeyed/0 ─▶ task 0: contexts, triggers, runs
    source/1 ─▶ first stage 1 ─┼─ by the context's key ─┼─▶ rekeyed/1 ─▶ task 1
    source/2 ─▶ first stage 2 ─┘                        └─▶ …

One process does the work of all stages. A pipeline that rekeys nothing is its own only stage. Who has all records of a source
before him (`check`, `test`, `backtest`) needs no stages either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.connectors.port import Layout, Start
from penstock.operators.plan import Plan
from penstock.operators.source import Source
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.worker import Summary, Worker

WORD = "rekey"


@dataclass(frozen=True, slots=True)
class Stage:
    """A plan, and the topics that its tasks work on."""

    plan: Plan
    layout: Layout


@dataclass(frozen=True, slots=True)
class Staged:
    """`main` reasons. `first`: one stage per rekeyed source; they write what `main` reads, so `main` is started before them."""

    main: Stage
    first: tuple[Stage, ...]

    @property
    def layouts(self) -> list[Layout]:
        return [self.main.layout, *(stage.layout for stage in self.first)]


def staged(pipeline: Pipeline) -> Staged:
    """The stages of a compiled file."""
    rekeyed = {source.topic: source for source in pipeline.plan.sources if source.rekey}
    first = tuple(_first(source, pipeline) for source in rekeyed.values())
    topics = {topic: stage.layout.prefix for topic, stage in zip(rekeyed, first, strict=True)}
    starts: dict[str, Start] = dict.fromkeys(topics, "earliest")
    inputs = {**pipeline.layout.inputs, **starts}
    layout = replace(pipeline.layout, inputs=inputs, rekeyed=topics)
    return Staged(Stage(replace(pipeline.plan, moved=frozenset(topics)), layout), first)


def _first(source: Source, pipeline: Pipeline) -> Stage:
    """Reads one source. What looks at keys has no place here; what is ignored here need not be looked at again."""
    layout = pipeline.layout
    name = f"{layout.name}.{WORD}.{source.topic}"
    topic = f"{layout.namespace}.{name}"
    plan = replace(
        pipeline.plan,
        sources=(replace(source, dedupe=None, pace=None),),
        slots=(),
        groupings=(),
        triggers=(),
        tables=(),
        limits={},
        latest=None,
        keeps_event=(),
        keeps_moment=False,
        moves_to=topic,
    )
    own = Layout(
        namespace=layout.namespace,
        name=name,
        inputs={source.topic: layout.inputs[source.topic]},
        outputs=frozenset({topic, pipeline.plan.dead_topic}),
        spread=frozenset({topic}),
    )
    return Stage(plan, own)


async def run_all(main: Worker, first: Sequence[Worker]) -> Summary:
    """All stages, as one: when one of them ends, so do the others. Does not raise, as `Worker.run` does not."""
    main.before = first
    for worker in first:
        worker.process.tally = main.process.tally
    below = [asyncio.create_task(worker.run()) for worker in first]
    for run in below:
        run.add_done_callback(lambda _: main.stop())
    try:
        summary = await main.run()
    finally:
        for worker in first:
            worker.stop()
        others = await asyncio.gather(*below)
    worst = max([summary, *others], key=lambda each: each.exit_code)
    return replace(summary, exit_code=worst.exit_code, problem=worst.problem)
