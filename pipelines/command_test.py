"""`penstock test`: scenarios in YAML, played against the real core without Kafka, a model or a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import typer

from penstock.operators.error import Misused, PenstockError, Rejected
from penstock.pipelines.scenario_file import Options, Suite, load_suite, scenario_files
from penstock.pipelines.scenario_report import Report, json_text, junit, lines
from penstock.pipelines.scenario_verdict import Verdict, verdict
from penstock.pipelines.show import screen

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """`files`: pipelines, files of scenarios or folders; none: the current folder. `name`: only scenarios whose names hold it."""

    files: Sequence[Path]
    loading: Options
    name: str | None
    json: bool
    junit: Path | None
    watch: bool


@dataclass(frozen=True)
class Round:
    """One run over everything; `watched` are the files that it depends on."""

    report: Report
    watched: frozenset[Path]


def play_scenarios(options: PlayOptions) -> None:
    """Ends the process with 1 unless every scenario holds. Raises Misused where there is none to play."""
    if options.watch:
        watch(options, sleep)
        return
    played = play_all(options)
    tell(played.report, options)
    if not played.report.ok:
        raise typer.Exit(1)


def play_all(options: PlayOptions) -> Round:
    suites = [load_suite(path, options.loading) for path in scenario_files(options.files)]
    verdicts = [each for suite in suites for each in _verdicts(suite, options.name)]
    problems = list(dict.fromkeys(problem for suite in suites for problem in suite.problems))
    if not verdicts and not problems:
        raise Misused(
            f"no scenario has {options.name!r} in its name", where="-k", remedy="leave it out to see them all"
        )
    return Round(Report(verdicts, problems), frozenset(path for suite in suites for path in suite.watched))


def _verdicts(suite: Suite, name: str | None) -> Iterable[Verdict]:
    if suite.checked is None:
        return
    for scenario in suite.scenarios:
        if name is None or name.lower() in scenario.name.lower():
            yield verdict(suite.path, suite.lines[scenario.name], suite.checked, scenario)


def tell(report: Report, options: PlayOptions) -> None:
    if options.junit is not None:
        _write(options.junit, junit(report))
    if options.json:
        typer.echo(json_text(report))
        return
    for problem in report.problems:
        typer.echo(problem.to_text(), err=True)
    console = screen()
    for line in lines(report):
        console.print(line, soft_wrap=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected(f"cannot be written: {error.strerror}", where=str(path), remedy="check --junit") from error


def watch(options: PlayOptions, wait: Callable[[float], None]) -> None:
    """Plays everything again whenever a file that it depends on changes, comes or goes. Until Ctrl-C."""
    try:
        while True:
            watched = _played_once(options)
            before = _stamps(options, watched)
            while _stamps(options, watched) == before:
                wait(POLL_SECONDS)
            typer.echo("")
    except KeyboardInterrupt:
        return


def _played_once(options: PlayOptions) -> frozenset[Path]:
    """A mistake is told, and waits to be mended."""
    try:
        played = play_all(options)
        tell(played.report, options)
    except PenstockError as error:
        typer.echo(f"penstock: {error}", err=True)
        return frozenset()
    return played.watched


def _stamps(options: PlayOptions, watched: Iterable[Path]) -> Mapping[Path, int | None]:
    """When every file was changed last; files of scenarios that are new count, too."""
    try:
        found = scenario_files(options.files)
    except Misused:
        found = []
    return {path: _changed(path) for path in {*found, *watched}}


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
