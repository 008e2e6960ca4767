"""Results as people read them in a terminal: one line each, and a summary."""

from __future__ import annotations

from typing import Any

import orjson
from rich.text import Text

from penstock.operators.record import Raw

STYLES = {"final": "green", "failed": "red", "resolved": "cyan", "partial": "dim"}
ANSWER_CHARACTERS_MAX = 160


def result_line(raw: Raw) -> Text:
    """`06:14:07 web-1 brute_force final  attack 0.93 …`; what a simulated model said is labelled."""
    record = orjson.loads(raw.value or b"{}")
    state = record.get("state", "?")
    line = Text()
    line.append(f"{_time_of(record, raw)} ", style="dim")
    line.append(f"{record.get('key', '')} ", style="bold")
    line.append(f"{', '.join(record.get('triggers', ()))} ")
    line.append(f"{state} ", style=STYLES.get(state, ""))
    line.append(_said(record))
    for entry in record.get("degraded", ()):
        line.append(f" [{entry['step']}: {entry['because']}]", style="yellow")
    if record.get("simulated") and state != "resolved":
        line.append(" (simulated)", style="magenta")
    return line


def dead_line(raw: Raw) -> Text:
    headers = {name: value.decode("utf-8", "replace") for name, value in raw.headers}
    where = f"{headers.get('penstock-dead-topic')}/{headers.get('penstock-dead-partition')}@{headers.get('penstock-dead-offset')}"
    line = Text(f"{where} ", style="dim")
    line.append(f"{headers.get('penstock-dead-reason')} ", style="red")
    line.append(headers.get("penstock-dead-detail", ""))
    return line


def _time_of(record: dict[str, Any], raw: Raw) -> str:
    """Date and time of the firing, or of the end of its episode."""
    episode = record.get("episode") or {}
    times = {name: value.decode() for name, value in raw.headers if name == "ce_time"}
    at = (episode.get("ends_at") if record.get("state") == "resolved" else None) or times.get("ce_time", "")
    return at[:19].replace("T", " ")


def _said(record: dict[str, Any]) -> str:
    """The answer, else why it fired; a failure says its reason."""
    if record.get("state") == "failed":
        return str(record.get("reason"))
    if record.get("state") == "resolved":
        return f"over; it began {record['episode']['starts_at'][:19].replace('T', ' ')}"
    answer = record.get("answer")
    if answer:
        text = ", ".join(f"{name}: {value}" for name, value in answer.items())
    else:
        text = record.get("text") or record.get("annotations", {}).get("summary") or record["why"]["condition"]
    return text if len(text) <= ANSWER_CHARACTERS_MAX else f"{text[: ANSWER_CHARACTERS_MAX - 1]}…"
