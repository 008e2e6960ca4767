"""`penstock fake-model`: the simulated model server as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import typer
import uvloop

from penstock.pipelines.fake_answer import load_rules
from penstock.pipelines.fake_fault import parse_faults
from penstock.pipelines.fake_model import FakeModelServer
from penstock.pipelines.fake_work import FakeModelOptions
from penstock.pipelines.observe import parse_listen


def serve(
    *,
    listen: str,
    tokens_per_second: float | None,
    ttft: float,
    max_num_seqs: int,
    max_num_queued_reqs: int | None,
    priorities: bool,
    answers: Path | None,
    fault: str,
    seed: int,
    log: Path | None,
) -> None:
    """Until SIGTERM or Ctrl-C."""
    host, port = parse_listen(listen)
    options = FakeModelOptions(
        host=host or "0.0.0.0",
        port=port,
        tokens_per_second=tokens_per_second or 0.0,
        ttft=ttft,
        max_num_seqs=max_num_seqs,
        max_num_queued_reqs=max_num_queued_reqs,
        scheduling_policy="priority" if priorities else "fcfs",
        faults=parse_faults(fault, seed),
        answers=load_rules(answers) if answers is not None else (),
        log=log,
    )
    uvloop.run(_serve(options))


async def _serve(options: FakeModelOptions) -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with FakeModelServer(options) as server:
        typer.echo(f"simulated model server at {server.base_url} (every answer is labelled as simulated)")
        await over.wait()
