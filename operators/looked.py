"""Rows as templates see them: what is missing is `unknown`, and no reason to lose a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from penstock.operators.expression_value import Unknown
from penstock.operators.table_rows import Row, row


class Missing(jinja2.ChainableUndefined):
    """A row or a field that is not there. It shows as `unknown`, is false, and `default(…)` replaces it."""

    def __str__(self) -> str:
        return "unknown"


class Part(dict[str, Any]):
    """A row, or a map inside of one."""

    def __missing__(self, name: str) -> Missing:
        return Missing(name=name)

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        return Part(found) if found.__class__ is dict else found


class Looked:
    """A table: `tables.hosts[key].owner`."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows

    def __getitem__(self, key: Any) -> Part | Missing:
        found = None if isinstance(key, jinja2.Undefined) else row(self._rows, key)
        return Missing(name=str(key)) if found is None or isinstance(found, Unknown) else Part(found)

    def __str__(self) -> str:
        return f"({len(self._rows)} rows)"
