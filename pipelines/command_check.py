"""`penstock check`: everything that can be known about a file before it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.table import Table
from ruamel.yaml import YAML

from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Broker
from penstock.operators.error import Misused, PenstockError, Unreachable
from penstock.operators.expression import TYPE_ERROR, UNKNOWN
from penstock.operators.instant import iso_text
from penstock.pipelines.against import Comparison, compare
from penstock.pipelines.brokers import Wanted, known_broker, member_name, open_broker
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.endpoints import opened_models, opened_registry, probed
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.problem import has_errors, problems_to_json
from penstock.pipelines.rekeying import staged
from penstock.pipelines.sampling import Tally, tally_sample
from penstock.pipelines.show import screen


def check(
    loaded: Loaded,
    *,
    json: bool,
    format: str,
    resolved: bool,
    sample: Path | None,
    source: str | None,
    against: Loaded | None,
    connect: bool,
    broker: str,
) -> None:
    """Ends the process with 1 if the file has errors or state cannot follow it, with 3 if `connect` found something missing."""
    known_broker(broker)
    if format not in ("text", "github"):
        raise Misused(f"there is no format {format!r}", where="--format", remedy="write text or github")
    if has_errors(loaded.problems):
        _print_problems(loaded, json=json, format=format)
        raise typer.Exit(1)
    if resolved:
        typer.echo(_as_json(loaded.resolved) if json else _as_yaml(loaded.resolved), nl=False)
        return
    if sample is not None:
        _, pipeline = usable(loaded)
        _print_tally(tally_sample(pipeline.plan, sample, source), json=json)
        return
    if against is not None:
        _print_comparison(_compared(loaded, against), json=json)
        return
    _print_problems(loaded, json=json, format=format)
    if connect:
        _connect(loaded, broker, quiet=json)


def _print_problems(loaded: Loaded, *, json: bool, format: str) -> None:
    if json:
        typer.echo(orjson.dumps(problems_to_json(loaded.problems)).decode())
        return
    for problem in loaded.problems:
        typer.echo(problem.to_github() if format == "github" else problem.to_text(), err=format == "text")
    errors = sum(problem.severity == "error" for problem in loaded.problems)
    warnings = len(loaded.problems) - errors
    if format == "text":
        verdict = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}" if loaded.problems else "fine"
        typer.echo(verdict, err=bool(errors))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _as_json(document: dict[str, Any]) -> str:
    """With numbers of any size, which orjson refuses."""
    return dumps(document, ensure_ascii=False) + "\n"


def _as_yaml(document: dict[str, Any]) -> str:
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # the library's annotation says None
    yaml.width = 1000
    yaml.dump(document, out)
    return out.getvalue()


def _print_tally(tally: Tally, *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(tally.as_json()).decode())
        return
    console = screen()
    table = Table("expression", "true", "false", "unknown", "type error", "other", box=None, pad_edge=False)
    for place, values in tally.expressions.items():
        counted = [values[True], values[False], values[UNKNOWN], values[TYPE_ERROR], values["other"]]
        table.add_row(place, *(str(count) if count else "·" for count in counted))
    console.print(table)
    console.print(
        f"\n{_counted(tally.events, 'event')} of {_counted(tally.keys, 'key')}; {_listed(tally.counters) or 'nothing fired'}"
    )
    if tally.first is not None and tally.last is not None:
        console.print(f"event times {iso_text(tally.first)} to {iso_text(tally.last)}")


def _listed(counters: Counter[tuple[str, ...]]) -> str:
    """Without the events, of which the sentence has told already."""
    told = ((name, count) for name, count in sorted(counters.items()) if name[0] != "events")
    return ", ".join(f"{' '.join(name)}: {count}" for name, count in told)


def _compared(loaded: Loaded, against: Loaded) -> Comparison:
    """Warnings of the older file are no news."""
    _, present = usable(loaded)
    if has_errors(against.problems):
        usable(against)
    return compare(compile_pipeline(against).plan, present.plan)


def _print_comparison(comparison: Comparison, *, json: bool) -> None:
    """Ends the process with 1 where something is refused."""
    if json:
        typer.echo(orjson.dumps(comparison.as_json()).decode())
    else:
        for line in comparison.lines():
            typer.echo(line)
    if not comparison.ok:
        raise typer.Exit(1)


def _connect(loaded: Loaded, url: str, *, quiet: bool) -> None:
    """Ask broker, schema registry and every model server; ends the process with 3 where one is not as needed.

    `quiet`: not on stdout.
    """
    assert loaded.spec is not None, "a file without errors"
    pipeline = compile_pipeline(loaded)
    member = member_name()
    brokers = [open_broker(url, Wanted(layout, loaded.spec.kafka, member)) for layout in staged(pipeline).layouts]
    told = asyncio.run(_answers(url, brokers, pipeline, loaded.spec.kafka))
    for answer in told:
        is_error = isinstance(answer, PenstockError)
        typer.echo(f"penstock: {answer}" if is_error else answer, err=is_error or quiet)
    if errors := [answer for answer in told if isinstance(answer, PenstockError)]:
        raise typer.Exit(max(error.exit_code for error in errors))


async def _answers(
    url: str, brokers: Sequence[Broker], pipeline: Pipeline, kafka: KafkaSettings
) -> list[str | PenstockError]:
    """What each says of itself, or an error that says what to do."""
    async with opened_models(pipeline.models) as models:
        answers = await probed(models)
    named = [f"model {name}: {said}" if isinstance(said, str) else said for name, said in answers.items()]
    return [await _of_broker(url, brokers), *await _of_registry(kafka), *named]


async def _of_registry(kafka: KafkaSettings) -> list[str | PenstockError]:
    """Nothing where the file names none."""
    async with opened_registry(kafka) as registry:
        try:
            return [] if registry is None else [f"schema registry: {await registry.probe()}"]
        except Unreachable as error:
            return [error]


async def _of_broker(url: str, brokers: Sequence[Broker]) -> str | PenstockError:
    """It is asked once for each stage; what more than one of them lacks is named once."""
    try:
        missing = dict.fromkeys([topic for broker in brokers for topic in await broker.missing()])
        return f"broker {url}: fine" + (f"; will be created: {', '.join(missing)}" if missing else "")
    except PenstockError as error:
        return error
    finally:
        for broker in brokers:
            await broker.close()
