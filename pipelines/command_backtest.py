"""`penstock backtest`: a file over recordings. What would have fired, how often, at what price; what a candidate would change.

file, recordings ─▶ History ─┬─▶ table or --json
candidate ───────▶ History ─┴─▶ difference ─▶ --fail-on changed
                             └─▶ --out: firings.jsonl, summary.json, report.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
from penstock.pipelines.backtest_html import page
from penstock.pipelines.backtest_input import inputs_of
from penstock.pipelines.backtest_labels import Label, load_labels
from penstock.pipelines.backtest_recorded import Answers, answered, load_answers
from penstock.pipelines.backtest_report import report, report_difference
from penstock.pipelines.backtest_row import Row
from penstock.pipelines.backtest_script import load_script
from penstock.pipelines.backtest_summary import Figures, summary
from penstock.pipelines.collector import spare_collector
from penstock.pipelines.loading import load, usable
from penstock.pipelines.show import screen

ANSWERS = ("none", "scripted", "recorded")
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
    workers: int
    against: Path | None
    answers: str
    script: Path | None
    recorded: Path | None
    labels: Path | None
    series: str | None
    end: str
    fail_on: str | None
    out: Path | None
    json: bool


def run_backtest(options: BacktestOptions) -> None:
    """Ends with 1 where `--fail-on` says so. Raises Misused and Rejected before anything is read, where it can be known."""
    _check(options)
    files = [options.file, *([] if options.against is None else [options.against])]
    plans = [_plan(options, file) for file in files]
    sides = _Sides(options, plans)
    _note_followers(options, files, plans)
    spare_collector()
    histories = sides.play(files)
    figures = [summary(plan, history, sides.labels) for plan, history in zip(plans, histories, strict=True)]
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
            remedy="write none, scripted or recorded; live is not there yet",
        )
    if options.end not in ENDS:
        raise Misused(f"{options.end!r} is no end", where="--end", remedy="write fire or hold")
    if options.fail_on not in (None, CHANGED):
        raise Misused(f"{options.fail_on!r} is nothing to fail on", where="--fail-on", remedy="write changed")
    if options.fail_on and options.against is None:
        raise Misused("there is nothing to compare with", where="--fail-on", remedy="name a candidate with --against")
    if (options.recorded is not None) != (options.answers == "recorded"):
        remedy = "give both: --answers recorded --recorded RESULTS.jsonl"
        raise Misused("recorded answers are in a file", where="--recorded", remedy=remedy)
    if options.script is not None and options.answers != "scripted":
        raise Misused("a script answers nobody", where="--script", remedy="write --answers scripted, too")
    if options.series is not None and options.labels is None:
        raise Misused("there are no labels to choose from", where="--series", remedy="name them with --labels")


def _plan(options: BacktestOptions, file: Path) -> Plan:
    _, pipeline = usable(load(file, options.overlays, options.sets, options.env_file))
    if pipeline.plan.tables:
        raise Rejected(
            "looks up rows of tables, and recordings of tables cannot be read yet",
            where=str(file),
            remedy="play it in a scenario (`penstock test`), or take out what reads rows with an overlay",
        )
    if pipeline.plan.limits and options.workers > 1:
        raise Misused(
            f"{file} has limits, which count over all keys: no process that has some of them could tell",
            where="-w",
            remedy="use one process: -w 1",
        )
    return pipeline.plan


def _note_followers(options: BacktestOptions, files: Sequence[Path], plans: Sequence[Plan]) -> None:
    """Recorded answers are put in afterwards: while it plays nobody answers."""
    for file, plan in zip(files, plans, strict=True) if options.answers != "scripted" else ():
        names = [planned.name for planned in plan.triggers if isinstance(planned.trigger, After | Semantic)]
        if names:
            message = f"nobody answers while {file} plays, so what needs an answer never fires: {', '.join(names)}"
            typer.echo(f"penstock: {message}; write --answers scripted for that", err=True)


class _Sides:
    """The file, and the candidate if there is one, over the same recordings."""

    def __init__(self, options: BacktestOptions, plans: Sequence[Plan]) -> None:
        self._options, self._plans = options, plans
        self._sizes = [_bytes(plan, options.inputs) for plan in plans]
        self.labels: list[Label] | None = (
            None
            if options.labels is None
            else load_labels(options.labels, options.series, [Path(each).name for each in options.inputs])
        )
        self._answers: Answers | None = None if options.recorded is None else load_answers(options.recorded)
        if options.script is not None:
            load_script(options.script)

    def play(self, files: Sequence[Path]) -> list[History]:
        total = sum(self._sizes) * self._options.workers
        with self._progress() as progress:
            bar = progress.add_task("", total=total)
            return [
                self._one(file, plan, lambda read: progress.advance(bar, read))
                for file, plan in zip(files, self._plans, strict=True)
            ]

    def _one(self, file: Path, plan: Plan, told: Any) -> History:
        options, began = self._options, perf_counter()
        scripted, hold = options.answers == "scripted", options.end == "hold"
        job = Job(
            file, options.overlays, options.sets, options.env_file, options.inputs, scripted, options.script, hold
        )
        history = backtest(job, plan, options.workers, told)
        if self._answers is not None:
            answered(plan, history.rows, self._answers)
        return replace(history, wall_seconds=perf_counter() - began)

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
    if difference is not None:
        report_difference(console, difference, (options.file.name, str(options.against)))
    if options.out is not None:
        console.print(f"\nwritten: {options.out}/firings.jsonl, summary.json, report.html", style="dim", markup=False)


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
        whole = orjson.dumps(_object(figures, difference), option=orjson.OPT_INDENT_2)
        (folder / "summary.json").write_bytes(whole + b"\n")
        (folder / "report.html").write_text(page(histories, figures, difference, labels), encoding="utf-8")
    except OSError as error:
        raise Rejected(
            f"cannot be written: {error.strerror}", where=str(error.filename or folder), remedy="check --out"
        ) from error


def _lines(rows: Iterable[Row]) -> bytes:
    return b"".join(orjson.dumps(row.as_json()) + b"\n" for row in rows)
