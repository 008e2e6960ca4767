"""`penstock schema`: JSON Schema of the file, its scenarios and of results, and AsyncAPI for a pipeline's topics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from penstock.operators.error import Misused
from penstock.pipelines.loading import load, usable
from penstock.pipelines.result_schema import asyncapi_document, result_schema
from penstock.pipelines.schema import file_schema, scenario_schema


def schema(what: str, asyncapi: Path | None) -> None:
    """`what`: file, test or result. `asyncapi`: a pipeline whose topics are described instead."""
    typer.echo(json.dumps(_document(what, asyncapi), indent=2, ensure_ascii=False))


def _document(what: str, asyncapi: Path | None) -> dict[str, Any]:
    if asyncapi is not None:
        spec, pipeline = usable(load(asyncapi, None, None, None))
        return asyncapi_document(spec, pipeline)
    match what:
        case "file":
            return file_schema()
        case "test":
            return scenario_schema()
        case "result":
            return result_schema()
        case _:
            raise Misused(f"there is no schema {what!r}", where="penstock schema", remedy="write file, test or result")
