"""Results in a terminal: in columns that fit it; in a file or a pipe: a line each, without colours."""

from __future__ import annotations

from io import StringIO
from typing import Any

import orjson
import pytest
from rich.console import Console

from penstock.operators.record import Record
from penstock.pipelines.show import ResultPrinter, dead_line, result_columns, screen

TIME = (("ce_time", b"2026-03-02T06:00:56.000Z"),)
ANSWER = {"verdict": "attack", "why": "twenty guesses from one address within a minute, none of them right"}


def result(key: str = "web-1", state: str = "final", **fields: Any) -> Record:
    record = {
        "state": state,
        "key": key,
        "triggers": ["brute_force"],
        "answer": ANSWER,
        "why": {"condition": "n >= 20"},
    }
    return Record("results", 0, 0, 0, key.encode(), orjson.dumps({**record, **fields}), TIME)


def printed(*records: Record, width: int | None) -> list[str]:
    """What a terminal of this width shows; None: what a pipe gets."""
    out = StringIO()
    console = Console(file=out, force_terminal=width is not None, width=width, highlight=False, color_system=None)
    printer = ResultPrinter(console, ["brute_force", "spray"])
    for record in records:
        printer.print(record)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_wide_terminal_has_the_answer_beside_the_other_columns() -> None:
    lines = printed(result(), width=110)
    assert lines[0].startswith("2026-03-02 06:00:56  web-1  brute_force  final     verdict: attack, why: twenty")
    assert len(lines) == 2
    assert lines[1].startswith(" " * lines[0].index("verdict") + "within a minute")


def test_a_narrow_terminal_has_the_answer_below() -> None:
    lines = printed(result(), width=80)
    assert lines[0] == "2026-03-02 06:00:56  web-1  brute_force  final"
    assert lines[1].startswith("    verdict: attack, why: twenty guesses")
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) == 3


def test_a_pipe_gets_one_line_per_record() -> None:
    (line,) = printed(result(), width=None)
    assert line.endswith("none of them right")


def test_columns_stay_in_line_when_a_longer_key_comes() -> None:
    short, long, again = printed(result("a"), result("a-longer-key"), result("a"), width=None)
    assert short.index("brute_force") < long.index("brute_force") == again.index("brute_force")


def test_a_very_long_key_does_not_push_the_answer_out() -> None:
    lines = printed(result("k" * 60), width=140)
    assert "verdict" in lines[0]
    assert sum(line.count("k") - line.count("attack") for line in lines) >= 60


def test_a_simulated_answer_says_so_and_so_does_a_degraded_one() -> None:
    said = result_columns(result(simulated=True, degraded=[{"step": "fallback", "because": "no model"}])).said.plain
    assert said.endswith("[fallback: no model] (simulated)")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"answer": {"text": "all is well"}}, "all is well"),
        ({"answer": None, "text": "free"}, "free"),
        ({"answer": None, "annotations": {"summary": "23 failures"}}, "23 failures"),
        ({"answer": None}, "n >= 20"),
        ({"state": "failed", "reason": "no answer"}, "no answer"),
        ({"answer": {"text": "x" * 500}}, "x" * 199 + "…"),
    ],
)
def test_it_says_the_answer_or_else_why_it_fired(fields: dict[str, Any], said: str) -> None:
    assert result_columns(result(**fields)).said.plain == said


def test_an_episode_that_ended_says_when_it_began() -> None:
    episode = {"starts_at": "2026-03-02T06:00:56.000Z", "ends_at": "2026-03-02T06:02:28.000Z"}
    columns = result_columns(result(state="resolved", episode=episode, simulated=True))
    assert (columns.time, columns.said.plain) == ("2026-03-02 06:02:28", "over; it began 2026-03-02 06:00:56")


def test_a_dead_letter_says_where_it_stood_and_why_it_died() -> None:
    about = {"topic": b"auth", "partition": b"0", "offset": b"41", "reason": b"keyless", "detail": b"no host"}
    headers = tuple((f"penstock-dead-{name}", value) for name, value in about.items())
    assert dead_line(Record("dead", 0, 0, 0, None, b"x", headers)).plain == "auth/0@41  keyless  no host"


def test_text_of_a_pipe_is_not_cut_into_columns(capsys: pytest.CaptureFixture[str]) -> None:
    screen().print("word " * 100)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_what_people_wrote_is_not_taken_for_markup() -> None:
    (line,) = printed(result(answer={"text": "[bold]x[/bold] [/]"}), width=None)
    assert line.endswith("[bold]x[/bold] [/]")


def test_a_tombstone_says_what_is_not_the_case_any_more() -> None:
    headers = (("ce_id", b"0-9f/gone"), ("ce_subject", b"web-1"), ("ce_time", b"2026-03-02T06:00:56.000Z"))
    columns = result_columns(Record("open", 0, 0, 0, b"77ab", None, headers))
    assert columns[:4] == ("2026-03-02 06:00:56", "web-1", "", "gone")
    assert columns.said.plain == "0-9f"


def test_what_was_skipped_says_why() -> None:
    by = {"condition": "n >= 20", "inhibited_by": ["takeover", "spray"]}
    inhibited = result(state="skipped", reason="inhibited", answer=None, why=by)
    assert result_columns(inhibited).said.plain == "inhibited by takeover, spray"


def test_a_correction_says_what_it_does_to_which_run() -> None:
    for withdrawn, does in ((True, "withdraws"), (False, "corrects")):
        corrects = result(answer={"verdict": "benign"}, corrects="0-77", why={"withdrawn": withdrawn})
        assert result_columns(corrects).said.plain.endswith(f" [{does} 0-77]")
