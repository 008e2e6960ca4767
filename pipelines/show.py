"""Results as people read them in a terminal: one below the other, in columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from penstock.operators.record import Raw
from penstock.operators.result import read_result

STYLES = {
    "final": "green", "failed": "red", "skipped": "dim", "resolved": "cyan", "partial": "dim", "gone": "dim",
}  # fmt: skip
ANSWER_CHARACTERS_MAX = 200
KEY_COLUMNS_MAX = 24
"""A longer key goes on in the line below."""
ANSWER_COLUMNS_MIN = 40
"""Where a terminal leaves less beside the other columns, the answer goes below them."""
PIPE_COLUMNS = 1_000_000


def screen(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Where people read: the width and colours of their terminal. A file or a pipe gets whole lines, and no colours."""
    console = Console(highlight=False, stderr=stderr, quiet=quiet)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return console


class Columns(NamedTuple):
    """What of a result stands in which column."""

    time: str
    key: str
    triggers: str
    state: str
    said: Text


class ResultPrinter:
    """Prints results as they come; `triggers` are the names to expect."""

    def __init__(self, console: Console, triggers: Iterable[str]) -> None:
        self._console = console
        self._widths = [19, 0, max(map(len, triggers), default=0), max(map(len, STYLES))]

    def print(self, raw: Raw) -> None:
        columns = result_columns(raw)
        self._widths[1] = max(self._widths[1], min(len(columns.key), KEY_COLUMNS_MAX))
        if not self._console.is_terminal:
            self._console.print(_line(columns, self._widths), soft_wrap=True)
            return
        beside = self._console.width - sum(self._widths) - 2 * len(self._widths)
        if beside >= ANSWER_COLUMNS_MIN:
            self._console.print(_row(columns, self._widths, columns.said))
        else:
            self._console.print(_row(columns, self._widths, None))
            self._console.print(Padding(columns.said, (0, 0, 0, 4)))


def result_columns(raw: Raw) -> Columns:
    """What a simulated model said is labelled; so is everything in which a result is less than was asked for.

    A tombstone says what it ended.
    """
    if raw.value is None:
        headers = {name: value.decode("utf-8", "replace") for name, value in raw.headers}
        time, said = _until_seconds(headers.get("ce_time", "")), Text(headers.get("ce_id", "").partition("/")[0])
        return Columns(time, headers.get("ce_subject", ""), "", "gone", said)
    record = read_result(raw)
    state = record.get("state", "?")
    said = Text(_said(record))
    if record.get("corrects") is not None:
        does = "withdraws" if (record.get("why") or {}).get("withdrawn") else "corrects"
        said.append(f" [{does} {record['corrects']}]", style="yellow")
    for entry in record.get("degraded", ()):
        said.append(f" [{entry['step']}: {entry['because']}]", style="yellow")
    if record.get("simulated") and state != "resolved":
        said.append(" (simulated)", style="magenta")
    return Columns(_time_of(record, raw), record.get("key", ""), ", ".join(record.get("triggers", ())), state, said)


def dead_line(raw: Raw) -> Text:
    headers = {name: value.decode("utf-8", "replace") for name, value in raw.headers}
    where = f"{headers.get('penstock-dead-topic')}/{headers.get('penstock-dead-partition')}@{headers.get('penstock-dead-offset')}"
    line = Text(f"{where}  ", style="dim")
    line.append(f"{headers.get('penstock-dead-reason')}  ", style="red")
    line.append(headers.get("penstock-dead-detail", ""))
    return line


def _line(columns: Columns, widths: list[int]) -> Text:
    padded = (text.ljust(width) for text, width in zip(columns[:4], widths, strict=True))
    return Text("  ".join(padded) + "  ").append_text(columns.said)


def _row(columns: Columns, widths: list[int], said: Text | None) -> Table:
    styles = ("dim", "bold", "", STYLES.get(columns.state, ""))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for width, style in zip(widths, styles, strict=True):
        grid.add_column(width=width, style=style, overflow="fold")
    grid.add_row(*map(Text, columns[:4]), said or "")
    return grid


def _time_of(record: dict[str, Any], raw: Raw) -> str:
    """Date and time of the firing, or of the end of its episode."""
    episode = record.get("episode") or {}
    times = {name: value.decode() for name, value in raw.headers if name == "ce_time"}
    at = (episode.get("ends_at") if record.get("state") == "resolved" else None) or times.get("ce_time", "")
    return _until_seconds(at)


def _said(record: dict[str, Any]) -> str:
    """The answer, else why it fired; a failure says its reason."""
    if record.get("state") == "failed":
        return str(record.get("reason"))
    if record.get("state") == "skipped":
        return " by ".join([str(record.get("reason")), *_inhibitors(record)])
    if record.get("state") == "resolved":
        return f"over; it began {_until_seconds(record['episode']['starts_at'])}"
    answer = record.get("answer") or {}
    if len(answer) == 1:
        text = str(*answer.values())
    elif answer:
        text = ", ".join(f"{name}: {value}" for name, value in answer.items())
    else:
        text = record.get("text") or record.get("annotations", {}).get("summary") or record["why"]["condition"]
    return text if len(text) <= ANSWER_CHARACTERS_MAX else f"{text[: ANSWER_CHARACTERS_MAX - 1]}…"


def _inhibitors(record: dict[str, Any]) -> list[str]:
    names = record["why"].get("inhibited_by")
    return [", ".join(names)] if names else []


def _until_seconds(time: str) -> str:
    return time[:19].replace("T", " ")
