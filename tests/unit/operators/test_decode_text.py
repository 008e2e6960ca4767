from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.operators import decode_text
from penstock.operators.decode import event_class
from penstock.operators.decode_text import TextFormat
from penstock.operators.expression import UNKNOWN, attribute_of
from penstock.operators.record import DeadLetter

HEAD = r"^(?P<ts>\w{3} +\d+ [\d:]{8}) (?P<host>\S+) sshd"
FAILED = HEAD + r"\[\d+\]: (?P<what>Failed|Accepted) \w+ for (?:invalid user )?(?P<user>\S+) from (?P<ip>\S+) port"
FIELDS = ("text", "ts", "host", "what", "user", "ip")


def parse(line: bytes, *patterns: str, fields: tuple[str, ...] = FIELDS) -> Any:
    return decode_text.build(patterns).parse(event_class(fields))(line)


def found(line: bytes, *patterns: str, fields: tuple[str, ...] = FIELDS) -> dict[str, Any]:
    event = parse(line, *patterns, fields=fields)
    assert not isinstance(event, DeadLetter), event
    values = {field: getattr(event, attribute_of(field)) for field in fields}
    return {field: value for field, value in values.items() if value is not UNKNOWN}


LINE = (
    b"Dec 10 06:55:46 LabSZ sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2"
)


def test_the_named_groups_of_the_first_pattern_found_become_fields() -> None:
    assert found(LINE, FAILED, HEAD) == {
        "text": LINE.decode(), "ts": "Dec 10 06:55:46", "host": "LabSZ", "what": "Failed", "user": "webmaster",
        "ip": "173.234.31.186",
    }  # fmt: skip


def test_a_later_pattern_is_tried_when_the_earlier_ones_are_not_found() -> None:
    assert found(b"Dec  1 06:55:46 LabSZ sshd: hello", FAILED, HEAD) == {
        "text": "Dec  1 06:55:46 LabSZ sshd: hello", "ts": "Dec  1 06:55:46", "host": "LabSZ",
    }  # fmt: skip


@pytest.mark.parametrize("patterns", [(), (FAILED,)])
def test_a_line_that_nothing_matches_is_an_event_with_its_text(patterns: tuple[str, ...]) -> None:
    assert found(b"something else", *patterns) == {"text": "something else"}
    assert found(b"", *patterns) == {"text": ""}


def test_patterns_are_searched_and_not_anchored() -> None:
    assert found("é: id=7".encode(), r"id=(?P<id>\d)", fields=("id",)) == {"id": "7"}


def test_a_group_that_took_no_part_is_missing_and_an_empty_one_is_not() -> None:
    assert found(b"x", r"x(?P<a>y)?(?P<b>y*)", fields=("a", "b")) == {"b": ""}


def test_classes_are_ascii() -> None:
    assert found("٣ é 3".encode(), r"(?P<digit>\d)", fields=("digit",)) == {"digit": "3"}


def test_the_line_end_is_cut_and_line_ends_inside_stay() -> None:
    assert found(b"one\ntwo\r\n", fields=("text",)) == {"text": "one\ntwo"}


def test_invalid_utf8_is_refused() -> None:
    assert parse(b"caf\xe9").reason == "not_utf8"


def test_a_pattern_that_cuts_a_character_gives_text_all_the_same() -> None:
    assert found("é".encode(), r"(?P<half>\C)", fields=("half",)) == {"half": "�"}


def test_a_hostile_line_does_not_hang() -> None:
    assert found(b"a" * 100_000 + b"!", r"(?P<all>(a+)+)$", fields=("all",)) == {}


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        (r"(?P<x>", "not an RE2 pattern"),
        (r"(?P<x>a)(?=b)", "look-around"),
        (r"(?P<text>.*)", "that field is the whole line"),
    ],
)
def test_patterns_that_cannot_work_are_refused_with_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TextFormat(text=(pattern,))


def test_a_real_recording_gives_what_the_library_for_regular_expressions_gives(recordings: Path) -> None:
    with (recordings / "loghub" / "OpenSSH_2k.log_structured.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{row['Date']} {row['Day']:>2} {row['Time']} LabSZ sshd[{row['Pid']}]: {row['Content']}" for row in rows]
    expected = [re.search(FAILED, line, re.ASCII) or re.search(HEAD, line, re.ASCII) for line in lines]
    for line, match in zip(lines, expected, strict=True):
        assert match is not None
        assert found(f"{line}\n".encode(), FAILED, HEAD) == {"text": line, **match.groupdict()}
    assert sum("ip" in match.groupdict() for match in expected if match) > 500
