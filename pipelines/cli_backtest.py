"""What `penstock backtest` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.pipelines.cli_options import EnvFile, File, Overlays, Sets


def backtest(
    file: File,
    overlay: Overlays = None,
    set_: Sets = None,
    env_file: EnvFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one object and nothing else.")] = False,
    input: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SOURCE=]PATH",
            help="A recording (jsonl, csv, text; .gz), a folder, or kafka:TOPIC[@FROM..TO]; may be repeated.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=FILE", help="Rows of a table, a line each; may be repeated.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option("-w", "--workers", help="Processes that share the keys.", min=1)] = 1,
    against: Annotated[
        Path | None, typer.Option(metavar="CANDIDATE", help="Another file: what would it change?")
    ] = None,
    answers: Annotated[
        str,
        typer.Option(
            help="none: count runs; scripted: simulated; recorded: those of --recorded; live: ask the models."
        ),
    ] = "none",
    script: Annotated[Path | None, typer.Option(help="Rules for scripted answers, as of fake-model.")] = None,
    recorded: Annotated[Path | None, typer.Option(help="Results of a former time, one JSON object a line.")] = None,
    most_runs: Annotated[
        int | None, typer.Option(help="Ask models live for no more runs.", min=1, show_default=False)
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="MONEY", help="Ask models live for no more than that.", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="When something was wrong: lines of {key, from, to}, or NAB's windows.")
    ] = None,
    series: Annotated[str | None, typer.Option(help="Which series of NAB's windows.")] = None,
    end: Annotated[
        str, typer.Option(help="fire, or hold: leave out what only the end of the recording makes happen.")
    ] = "fire",
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MODEL.]RATE",
            help="prefill=8000/s, decode=60/s, throughput=2400/s or gpus=2, for the forecast; may be repeated.",
            show_default=False,
        ),
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option(metavar="FORECAST", help="A former forecast.json: how wrong was it?")
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="changed: end with 1 if the candidate changes anything.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write firings.jsonl, summary.json and report.html here.")] = None,
) -> None:
    """What a pipeline would have done with recorded events: firings, runs, tokens, cost."""
    from penstock.pipelines.command_backtest import BacktestOptions, run_backtest

    options = BacktestOptions(
        file=file, overlays=overlay or (), sets=set_ or (), env_file=env_file, inputs=input or (), tables=table or (),
        workers=workers, against=against, answers=answers, script=script, recorded=recorded, most_runs=most_runs,
        budget=budget, labels=labels, series=series, end=end, rates=rate or (), earlier=earlier, fail_on=fail_on, out=out,
        json=json,
    )  # fmt: skip
    run_backtest(options)
