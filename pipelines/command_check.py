"""`penstock check`: everything that can be known about a file before it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.table import Table
from ruamel.yaml import YAML

from penstock.operators.error import Misused, PenstockError
from penstock.operators.expression import TYPE_ERROR, UNKNOWN
from penstock.pipelines.brokers import Wanted, known_broker, member_name, open_broker
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.endpoints import opened_models
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.problem import has_errors, problems_to_json
from penstock.pipelines.sampling import Tally, tally_sample
from penstock.pipelines.show import screen
from penstock.pipelines.spec import Spec


def check(
    loaded: Loaded,
    *,
    json: bool,
    format: str,
    resolved: bool,
    sample: Path | None,
    source: str | None,
    connect: bool,
    broker: str,
) -> None:
    """Ends the process with 1 if the file has errors, with 3 if `connect` found something missing."""
    known_broker(broker)
    if format not in ("text", "github"):
        raise Misused(f"there is no format {format!r}", where="--format", remedy="write text or github")
    if has_errors(loaded.problems):
        _print_problems(loaded, json=json, format=format)
        raise typer.Exit(1)
    if resolved:
        typer.echo(_as_yaml(loaded.resolved), nl=False)
        return
    if sample is not None:
        _, pipeline = usable(loaded)
        _print_tally(tally_sample(pipeline.plan, sample, source), json=json)
        return
    _print_problems(loaded, json=json, format=format)
    if connect:
        spec, pipeline = usable(loaded)
        missing = asyncio.run(_connect(spec, pipeline, broker))
        for error in missing:
            typer.echo(f"penstock: {error}", err=True)
        if missing:
            raise typer.Exit(max(error.exit_code for error in missing))


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


def _listed(counters: Counter[tuple[str, ...]]) -> str:
    """Without the events, of which the sentence has told already."""
    told = ((name, count) for name, count in sorted(counters.items()) if name[0] != "events")
    return ", ".join(f"{' '.join(name)}: {count}" for name, count in told)


async def _connect(spec: Spec, pipeline: Pipeline, url: str) -> list[PenstockError]:
    """Ask the broker and every model server; what is missing, as errors that say what to do."""
    missing: list[PenstockError] = []
    kafka = spec.kafka.model_copy(update={"create_topics": False})
    broker = open_broker(url, Wanted(pipeline.layout, kafka, member_name()))
    try:
        await broker.start()
        typer.echo(f"broker {url}: fine")
    except PenstockError as error:
        missing.append(error)
    finally:
        await broker.close()
    async with opened_models(pipeline.models) as models:
        for name, model in models.items():
            try:
                typer.echo(f"model {name}: {await model.probe()}")
            except PenstockError as error:
                missing.append(error)
    return missing
