"""The command `penstock fake-model`. The server, and with it aiohttp, is imported when the command runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from penstock.pipelines.fake_work import FakeModelOptions


def fake_model(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = 8000,
    model: Annotated[
        list[str] | None, typer.Option(help="Name that is served; repeat for several. None: every name.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that clients must send.", envvar="FAKE_MODEL_API_KEY")
    ] = None,
    tokens_per_second: Annotated[float, typer.Option(min=0, help="Pace of each stream; 0: everything at once.")] = 0.0,
    ttft: Annotated[float, typer.Option(min=0, help="Seconds before a first token.")] = 0.0,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="Requests that generate at the same time.")] = 256,
    max_num_queued_reqs: Annotated[
        int | None, typer.Option(min=1, help="Requests in flight; more are told 503.")
    ] = None,
    max_model_len: Annotated[int, typer.Option(min=1, help="Tokens of prompt and answer together.")] = 32_768,
    scheduling_policy: Annotated[
        Literal["fcfs", "priority"], typer.Option(help="`priority` allows the field of that name.")
    ] = "fcfs",
    block_size: Annotated[int, typer.Option(min=1, help="Tokens per block of the prefix cache.")] = 16,
    answers: Annotated[
        Path | None, typer.Option(help="YAML list of {when: text, answer: …}, tried before the rules.")
    ] = None,
    fault: Annotated[str, typer.Option(help="Rates of faults: busy=0.05,cut=0.1,garbage=0.01,slow=0.1.")] = "",
    seed: Annotated[int, typer.Option(help="Decides which prompts meet a fault.")] = 0,
) -> None:
    """Serve rule-based answers over vLLM's protocol. There is no model: every answer is labelled as simulated."""
    from penstock.pipelines.fake_answer import load_rules
    from penstock.pipelines.fake_fault import parse_faults
    from penstock.pipelines.fake_work import FakeModelOptions

    options = FakeModelOptions(
        host=host, port=port, models=tuple(model or ()), api_key=api_key, tokens_per_second=tokens_per_second, ttft=ttft,
        max_num_seqs=max_num_seqs, max_num_queued_reqs=max_num_queued_reqs, max_model_len=max_model_len,
        scheduling_policy=scheduling_policy, block_size=block_size,
        faults=parse_faults(fault, seed), answers=load_rules(answers) if answers else (),
    )  # fmt: skip
    asyncio.run(_serve(options))


async def _serve(options: FakeModelOptions) -> None:
    from penstock.pipelines.fake_model import FakeModelServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with FakeModelServer(options) as server:
        typer.echo(f"simulated model at {server.base_url} (no model behind it: answers follow rules)", err=True)
        await stop.wait()
