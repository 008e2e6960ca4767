"""How scenarios went: for people, with only what differs; for machines as JSON, and as JUnit's XML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.text import Text

from penstock.pipelines.problem import Problem, problems_to_json
from penstock.pipelines.scenario_compare import NOTHING, Difference, Field
from penstock.pipelines.scenario_time import Moment
from penstock.pipelines.scenario_verdict import Verdict

EXTRA_TOLD = 5
"""So many unexpected items of a section are listed."""
LINE_CHARACTERS_MAX = 100
_ONE_OF = {
    "firings": "firing",
    "prompts": "prompt",
    "results": "result",
    "resolved": "end",
    "corrections": "correction",
}
_EXPECTED, _FOUND = "green", "red"
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold."""


@dataclass(frozen=True)
class Report:
    """Everything that was played, and the problems of files that could not be."""

    verdicts: Sequence[Verdict]
    problems: Sequence[Problem]

    @property
    def failed(self) -> int:
        return sum(not verdict.ok for verdict in self.verdicts)

    @property
    def ok(self) -> bool:
        return not self.failed and not self.problems


def lines(report: Report) -> Iterator[Text]:
    """The terminal's: a line per scenario, its differences below it, and the sum."""
    last: Path | None = None
    for verdict in report.verdicts:
        if verdict.file != last:
            yield Text(str(verdict.file), style="bold")
            last = verdict.file
        yield _head(verdict)
        if not verdict.ok:
            yield from (Text("          ").append_text(line) for line in explanation(verdict))
    yield _sum(report)


def _head(verdict: Verdict) -> Text:
    if verdict.ok:
        return Text("  passed  ", style="green").append(verdict.name, style="default")
    head = Text("  FAILED  ", style="bold red").append(verdict.name, style="default")
    return head.append(f"  {verdict.file}:{verdict.line}", style="dim")


def _sum(report: Report) -> Text:
    failed = report.failed
    parts = [f"{len(report.verdicts) - failed} passed"]
    parts += [f"{failed} failed"] if failed else []
    files = {problem.place.file for problem in report.problems}
    parts += [f"{len(files)} {'file' if len(files) == 1 else 'files'} with errors"] if files else []
    return Text(", ".join(parts), style="bold green" if report.ok else "bold red")


def explanation(verdict: Verdict) -> Iterator[Text]:
    """Why a scenario does not hold; what may explain the rest comes first."""
    yield from (Text(complaint, style=_FOUND) for complaint in verdict.complaints)
    told: dict[str, int] = {}
    for difference in verdict.differences:
        if difference.kind == "extra":
            told[difference.section] = told.get(difference.section, 0) + 1
            if told[difference.section] > EXTRA_TOLD:
                continue
        yield from _difference(difference)
    for section, count in told.items():
        if count > EXTRA_TOLD:
            yield Text(f"and {count - EXTRA_TOLD} {section} more that were not expected", style=_FOUND)
    yield from (Text(f"note: {note}", style="dim") for note in verdict.notes)


def _difference(difference: Difference) -> Iterator[Text]:
    one, title = _ONE_OF.get(difference.section, ""), _title(difference.section, difference.item)
    match difference.kind:
        case "missing":
            yield Text(f"{one} {difference.place + 1} did not happen: ").append(title, style=_EXPECTED)
        case "extra":
            yield Text("not expected: ").append(f"{one} {title}", style=_FOUND)
        case "forbidden":
            yield Text("must never happen: ").append(f"{one} {title}", style=_FOUND)
        case "differs":
            yield Text(f"{one} {difference.place + 1}, {title}" if one else difference.section)
            yield from _fields(difference.fields)


def _fields(fields: Sequence[Field]) -> Iterator[Text]:
    """In columns; a long value goes below the other one."""
    width = max(len(field.path) for field in fields)
    pairs = [_pair(field) for field in fields]
    beside = max((len(" ".join(expected)) for expected, found in pairs if _fits(width, expected, found)), default=0)
    for field, (expected, found) in zip(fields, pairs, strict=True):
        head = Text(f"  {field.path.ljust(width)}  ")
        if _fits(width, expected, found):
            yield head.append(" ".join(expected).ljust(beside), style=_EXPECTED).append("  " + " ".join(found), _FOUND)
        else:
            words = max(len(expected[0]), len(found[0]))
            yield head.append(f"{expected[0].ljust(words)} {expected[1]}", style=_EXPECTED)
            yield Text(" " * (width + 4)).append(f"{found[0].ljust(words)} {found[1]}", style=_FOUND)


Side = tuple[str, str]
"""A word and a value."""


def _fits(width: int, expected: Side, found: Side) -> bool:
    return width + sum(map(len, (*expected, *found))) <= LINE_CHARACTERS_MAX


def _pair(field: Field) -> tuple[Side, Side]:
    is_time = isinstance(field.actual, Moment) and isinstance(field.expected, str)
    expected, found = str(field.expected) if is_time else _shown(field.expected), _shown(field.actual)
    match field.path:
        case "contains":
            return ("lacks", expected), ("nearest is", found)
        case "lacks":
            return ("contains", expected), ("in", found)
        case _:
            return ("expected", expected), ("found", found)


def _title(section: str, item: Mapping[str, Any]) -> str:
    """An item in a few words; of what was expected only what was written."""
    known = {name: item.get(name) for name in ("trigger", "agent", "key", "by", "tenant", "state", "at")}
    if known["trigger"] is None:
        known["trigger"] = item.get("triggers")
    if section == "prompts":
        parts = [known["agent"], _with("about", known["key"]), _with("because of", known["trigger"])]
    else:
        told = [
            _with("on", known["key"]),
            _with("by", known["by"]),
            _with("of", known["tenant"]),
            _with("at", known["at"]),
        ]
        parts = [known["state"] if section == "results" else None, known["trigger"], *told]
    detail = _detail(section, item)
    words = " ".join(str(part) for part in parts if part is not None)
    return "  ".join(part for part in (words, detail) if part)


def _with(word: str, value: Any) -> str | None:
    return None if value is None else f"{word} {value}"


def _detail(section: str, item: Mapping[str, Any]) -> str:
    """What tells one item from others like it; of a prompt that was expected, what was looked for in it."""
    match section:
        case "firings" | "corrections":
            told = item.get("values")
        case "results":
            told = item.get("answer") or item.get("text") or item.get("reason")
        case "resolved":
            told = item.get("reason")
        case _:
            told = None if "text" in item else item.get("question") or item.get("contains")
    return _shown(told) if told else ""


def _shown(value: Any) -> str:
    if value is NOTHING:
        return "nothing"
    return str(value) if isinstance(value, Moment) else _json(value)


def _json(value: Any) -> str:
    """Times as text, counted from the scenario's beginning; numbers of any size, which orjson refuses."""
    return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


# --- for machines -------------------------------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, Any]:
    """One object. A field that lacks `actual` is missing in what happened."""
    return {
        "ok": report.ok,
        "passed": len(report.verdicts) - report.failed,
        "failed": report.failed,
        "problems": problems_to_json(report.problems)["problems"],
        "scenarios": [_verdict_json(verdict) for verdict in report.verdicts],
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.file),
        "line": verdict.line,
        "name": verdict.name,
        "ok": verdict.ok,
        "differences": [
            {
                "section": difference.section,
                "kind": difference.kind,
                "place": difference.place,
                "item": difference.item,
                "fields": [_field_json(field) for field in difference.fields],
            }
            for difference in verdict.differences
        ],
        "complaints": verdict.complaints,
        "notes": verdict.notes,
    }


def _field_json(field: Field) -> dict[str, Any]:
    values = {"path": field.path, "expected": field.expected, "actual": field.actual}
    return {name: value for name, value in values.items() if value is not NOTHING}


def json_text(report: Report) -> str:
    return _json(as_json(report))


def junit(report: Report) -> str:
    """A suite per file; a file with errors is a case of its own."""
    root = ElementTree.Element("testsuites")
    suites: dict[str, ElementTree.Element] = {}
    for verdict in report.verdicts:
        case = _case(root, suites, str(verdict.file), verdict.name)
        if not verdict.ok:
            told = [line.plain for line in explanation(verdict)]
            _fault(case, "failure", told[0], "\n".join(told))
    for problem in report.problems:
        case = _case(root, suites, problem.place.file, f"line {problem.place.line}: {problem.code.value}")
        _fault(case, "error", problem.sentence(), problem.to_text())
    for suite in suites.values():
        for attribute, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("errors", "testcase/error")):
            suite.set(attribute, str(len(suite.findall(tag))))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(
    root: ElementTree.Element, suites: dict[str, ElementTree.Element], file: str, name: str
) -> ElementTree.Element:
    if file not in suites:
        suites[file] = ElementTree.SubElement(root, "testsuite", name=_printable(file))
    return ElementTree.SubElement(suites[file], "testcase", classname=_printable(file), name=_printable(name))


def _fault(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    ElementTree.SubElement(case, kind, message=_printable(message)).text = _printable(text)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
