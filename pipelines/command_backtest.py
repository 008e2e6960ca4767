"""`penstock backtest`: a file over recordings. What would have fired, how often, at what price; what a candidate would change.

file, recordings ─▶ History ─┬─▶ table or --json
candidate ───────▶ History ─┴─▶ difference ─▶ --fail-on changed
                             ├─▶ forecast ─▶ how wrong an --earlier one was
                             └─▶ --out: firings.jsonl, summary.json, forecast.json, report.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import orjson
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from penstock.operators.error import Misused, Rejected
from penstock.operators.plan import Plan
from penstock.operators.trigger_after import After
from penstock.operators.trigger_semantic import Semantic
from penstock.pipelines.backtest import History, Job, backtest
from penstock.pipelines.backtest_against import Difference, compared
from penstock.pipelines.backtest_cache import cache_sizes, recached
from penstock.pipelines.backtest_earlier import errors_of, load_forecast
from penstock.pipelines.backtest_forecast import forecast
from penstock.pipelines.backtest_forecast_report import report_errors, report_forecast
from penstock.pipelines.backtest_html import page
from penstock.pipelines.backtest_input import inputs_of
from penstock.pipelines.backtest_labels import Label, load_labels
from penstock.pipelines.backtest_live import KEPT, LiveModels, check_live, live_models, purse_of
from penstock.pipelines.backtest_rates import rates_of
from penstock.pipelines.backtest_recorded import load_answers
from penstock.pipelines.backtest_report import report, report_difference
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.backtest_rows import tables_of
from penstock.pipelines.backtest_script import load_script
from penstock.pipelines.backtest_spool import spooled
from penstock.pipelines.backtest_summary import Figures, summary
from penstock.pipelines.collector import spare_collector
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.loading import load, usable
from penstock.pipelines.show import screen
from penstock.pipelines.spec import Spec

ANSWERS = ("none", "scripted", "recorded", "live")
ENDS = ("fire", "hold")
CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """As on the command line."""

    file: Path
    overlays: Sequence[Path]
    sets: Sequence[str]
    env_file: Path | None
    inputs: Sequence[str]
    tables: Sequence[str]
    workers: int
    against: Path | None
    answers: str
    script: Path | None
    recorded: Path | None
    most_runs: int | None
    budget: str | None
    labels: Path | None
    series: str | None
    end: str
    rates: Sequence[str]
    earlier: Path | None
    fail_on: str | None
    out: Path | None
    json: bool


def run_backtest(options: BacktestOptions) -> None:
    """Ends with 1 where `--fail-on` says so. Raises Misused and Rejected before anything is read, where it can be known."""
    _check(options)
    files = [options.file, *([] if options.against is None else [options.against])]
    with TemporaryDirectory(prefix="penstock-backtest-") as folder:
        _run(options, files, Path(folder))


def _run(options: BacktestOptions, files: Sequence[Path], folder: Path) -> None:
    """What is read of topics lies in `folder` meanwhile."""
    loaded = [_pipeline(options, file) for file in files]
    pipelines = [pipeline for _, pipeline in loaded]
    options = replace(options, inputs=spooled(options.inputs, loaded[0][0].kafka, folder))
    plans = [pipeline.plan for pipeline in pipelines]
    sides = _Sides(options, pipelines)
    _note_followers(options, files, plans)
    spare_collector()
    histories = sides.play(files)
    figures = [
        {**summary(plan, history, sides.labels), "forecast": forecast(plan, history, sides.rates)}
        for plan, history in zip(plans, histories, strict=True)
    ]
    if sides.earlier is not None:
        figures[0]["earlier"] = errors_of(sides.earlier, figures[0]["forecast"])
    difference = compared(histories[0].rows, histories[1].rows) if len(histories) > 1 else None
    if options.out is not None:
        _write(options.out, histories, figures, difference, sides.labels)
    _tell(options, figures, difference)
    if options.fail_on == CHANGED and difference is not None and difference.any:
        typer.echo(f"penstock: {options.against} would change what comes out", err=True)
        raise typer.Exit(1)


def _check(options: BacktestOptions) -> None:
    if options.answers not in ANSWERS:
        raise Misused(
            f"there are no answers {options.answers!r}",
            where="--answers",
            remedy="write none, scripted, recorded or live",
        )
    if options.end not in ENDS:
        raise Misused(f"{options.end!r} is no end", where="--end", remedy="write fire or hold")
    if options.fail_on not in (None, CHANGED):
        raise Misused(f"{options.fail_on!r} is nothing to fail on", where="--fail-on", remedy="write changed")
    if options.fail_on and options.against is None:
        raise Misused("there is nothing to compare with", where="--fail-on", remedy="name a candidate with --against")
    if (options.recorded is None) == (options.answers == "recorded") and options.answers != "live":
        remedy = "give both: --answers recorded --recorded RESULTS.jsonl"
        raise Misused("recorded answers are in a file", where="--recorded", remedy=remedy)
    check_live(
        options.answers == "live",
        options.workers,
        options.out,
        {"--most-runs": options.most_runs, "--budget": options.budget},
    )
    if options.script is not None and options.answers != "scripted":
        raise Misused("a script answers nobody", where="--script", remedy="write --answers scripted, too")
    if options.series is not None and options.labels is None:
        raise Misused("there are no labels to choose from", where="--series", remedy="name them with --labels")


def _pipeline(options: BacktestOptions, file: Path) -> tuple[Spec, Pipeline]:
    spec, pipeline = usable(load(file, options.overlays, options.sets, options.env_file))
    if pipeline.plan.limits and options.workers > 1:
        message = (
            f"{file} has limits: each of {options.workers} processes lets its share through, as that many partitions do"
        )
        typer.echo(f"penstock: {message}; -w 1 is one partition", err=True)
    return spec, pipeline


def _note_followers(options: BacktestOptions, files: Sequence[Path], plans: Sequence[Plan]) -> None:
    """Of triggers that need an answer, and get none."""
    for file, plan in zip(files, plans, strict=True):
        followers = _names(plan, After) if options.answers == "none" else []
        if followers:
            message = f"nobody answers while {file} plays, so what is `after` an answer never fires"
            typer.echo(f"penstock: {message}: {', '.join(followers)}; write --answers scripted for that", err=True)
        asking = _names(plan, Semantic) if options.answers != "scripted" else []
        if asking:
            message = f"what `semantic` asks while {file} plays is only answered by a script, so it never fires"
            typer.echo(f"penstock: {message}: {', '.join(asking)}; write --answers scripted for that", err=True)


def _names(plan: Plan, kind: type[After | Semantic]) -> list[str]:
    """Of the triggers of one kind."""
    return [planned.name for planned in plan.triggers if isinstance(planned.trigger, kind)]


class _Sides:
    """The file, and the candidate if there is one, over the same recordings."""

    def __init__(self, options: BacktestOptions, pipelines: Sequence[Pipeline]) -> None:
        plans = [pipeline.plan for pipeline in pipelines]
        self._options, self._pipelines = options, pipelines
        self._purse = purse_of(options.most_runs, options.budget, [pipeline.models for pipeline in pipelines])
        self._sizes = [_bytes(plan, options.inputs) for plan in plans]
        self.labels: list[Label] | None = (
            None
            if options.labels is None
            else load_labels(options.labels, options.series, [Path(each).name for each in options.inputs])
        )
        self._tables = tables_of(plans, options.tables)
        models = {endpoint.name for plan in plans for agent in plan.agents.values() for endpoint in agent.endpoints}
        self.rates = rates_of(options.rates, models)
        self.earlier = None if options.earlier is None else load_forecast(options.earlier)
        if options.recorded is not None:
            load_answers(options.recorded)
        if options.script is not None:
            load_script(options.script)

    def play(self, files: Sequence[Path]) -> list[History]:
        total = sum(self._sizes) * self._options.workers
        with self._progress() as progress:
            bar = progress.add_task("", total=total)
            return [
                self._one(file, pipeline, lambda read: progress.advance(bar, read))
                for file, pipeline in zip(files, self._pipelines, strict=True)
            ]

    def _one(self, file: Path, pipeline: Pipeline, told: Any) -> History:
        options, began = self._options, perf_counter()
        scripted, hold = options.answers == "scripted", options.end == "hold"
        job = Job(
            file, options.overlays, options.sets, options.env_file, options.inputs, scripted, options.script, hold,
            self._tables, options.recorded, bool(cache_sizes(self.rates, pipeline.models)),
        )  # fmt: skip
        with self._live(pipeline) as live:
            history = backtest(job, pipeline.plan, options.workers, told, live)
        recached(pipeline.plan, history, self.rates)
        return replace(history, wall_seconds=perf_counter() - began)

    def _live(self, pipeline: Pipeline) -> AbstractContextManager[LiveModels | None]:
        if self._options.answers != "live" or self._options.out is None:
            return nullcontext()
        name = KEPT if pipeline is self._pipelines[0] else f"candidate-{KEPT}"
        return live_models(pipeline.plan, pipeline.models, self._purse, self._options.out / name)

    def _progress(self) -> Progress:
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        console = screen(stderr=True, quiet=self._options.json)
        return Progress(
            *columns, console=console, transient=True, disable=self._options.json or not console.is_terminal
        )


def _bytes(plan: Plan, options: Sequence[str]) -> int:
    return sum(recording.size for recordings in inputs_of(plan, options).values() for recording in recordings)


def _tell(options: BacktestOptions, figures: Sequence[Figures], difference: Difference | None) -> None:
    if options.json:
        typer.echo(orjson.dumps(_object(figures, difference)).decode())
        return
    console = screen()
    names = [options.file.name, str(options.against)] if difference is not None else [None]
    for name, side in zip(names, figures, strict=True):
        report(console, side, name)
        report_forecast(console, side["forecast"])
        if "earlier" in side:
            report_errors(console, side["earlier"])
    if difference is not None:
        report_difference(console, difference, (options.file.name, str(options.against)))
    if options.out is not None:
        console.print(
            f"\nwritten: {options.out}/firings.jsonl, summary.json, forecast.json, report.html",
            style="dim",
            markup=False,
        )


def _object(figures: Sequence[Figures], difference: Difference | None) -> dict[str, Any]:
    """That of the present file; a candidate's stands beside what it would change."""
    if difference is None:
        return figures[0]
    return {**figures[0], "candidate": figures[1], "difference": difference.as_json()}


def _write(
    folder: Path,
    histories: Sequence[History],
    figures: Sequence[Figures],
    difference: Difference | None,
    labels: Sequence[Label] | None,
) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, history in zip(("firings.jsonl", "candidate-firings.jsonl"), histories, strict=False):
            (folder / name).write_bytes(_lines(history.rows))
        for name, side in zip(("forecast.json", "candidate-forecast.json"), figures, strict=False):
            (folder / name).write_bytes(_indented(side["forecast"]))
        (folder / "summary.json").write_bytes(_indented(_object(figures, difference)))
        (folder / "report.html").write_text(page(histories, figures, difference, labels), encoding="utf-8")
    except OSError as error:
        raise Rejected(
            f"cannot be written: {error.strerror}", where=str(error.filename or folder), remedy="check --out"
        ) from error


def _indented(said: Figures) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(orjson.dumps(row.as_json()) + b"\n" for row in rows)
