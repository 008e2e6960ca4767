"""`input:` of a source: what is refused, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

BASE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host, input: {file: /var/log/a.log}}
triggers:
  all: {each: has(event.x), agent: none}
"""


def problems(tmp_path: Path, text: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={}).problems


@pytest.mark.parametrize(
    "input",
    [
        "{file: [/var/log/a.log, '/var/log/b*.log']}",
        "{file: {path: a.log, read_from: end}}",
        "{stdin: true}",
        "{http: {listen: '127.0.0.1:8080', path: /auth, token: abc, body_max: 1MiB}}",
        "{sse: {url: 'https://example.com/events?of=all', headers: {Authorization: Bearer abc}}}",
        "{http: {listen: '[::1]:8080'}}",
        "{http: {listen: '0.0.0.0:8080', token: abc}}",
    ],
)
def test_an_input_says_one_thing(input: str, tmp_path: Path) -> None:
    assert problems(tmp_path, BASE.replace("{file: /var/log/a.log}", input)) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "column", "said"),
    [
        ("{file: /var/log/a.log}", "{}", Code.WRONG_VALUE, 34, "exactly one of"),
        ("{file: /var/log/a.log}", "{file: a, stdin: true}", Code.WRONG_VALUE, 34, "found file and stdin"),
        ("{file: /var/log/a.log}", "{stdin: false}", Code.WRONG_VALUE, 49, "expected true"),
        ("{file: /var/log/a.log}", "{fil: a}", Code.UNKNOWN_FIELD, 42, 'did you mean "file"?'),
        ("{file: /var/log/a.log}", "{file: {path: a, read_from: top}}", Code.WRONG_VALUE, 69, "beginning or end"),
        ("{file: /var/log/a.log}", "{http: {listen: here}}", Code.WRONG_VALUE, 57, "host:port"),
        ("{file: /var/log/a.log}", "{http: {listen: '0.0.0.0:80'}}", Code.OPEN_INPUT, 57, "can write events"),
        ("{file: /var/log/a.log}", "{sse: {url: 'ftp://x'}}", Code.WRONG_VALUE, 53, "https://host/path"),
        ("{file: /var/log/a.log}", "{sse: {url: 'http://x', headers: {A: b}}}", Code.KEY_OVER_HTTP, 53, "unencrypted"),
        ("key: event.host, ", "", Code.MISSING_FIELD, 17, "every record would be a dead letter"),
        ("t, key", "t, format: {avro: {schema: a.avsc}}, key", Code.WRONG_VALUE, 68, "reads avro"),
    ],
)
def test_a_mistake_is_told_at_its_place(old: str, new: str, code: Code, column: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.avsc").write_text('{"type": "record", "name": "A", "fields": []}')
    (problem,) = problems(tmp_path, BASE.replace(old, new))
    assert (problem.code, problem.place.line, problem.place.column) == (code, 4, column)
    assert said in problem.sentence()


def test_standard_input_is_read_by_one_source(tmp_path: Path) -> None:
    one = "key: event.host, input: {stdin: true}}"
    text = BASE.replace("key: event.host, input: {file: /var/log/a.log}}", f"{one}\n  r: {{topic: r, {one}")
    (problem,) = problems(tmp_path, text)
    assert (problem.code, problem.place.line) == (Code.WRONG_VALUE, 5)


def test_a_path_at_an_address_belongs_to_one_source(tmp_path: Path) -> None:
    one, two = ("key: event.host, input: {http: {listen: '127.0.0.1:80'" + more for more in ("}}}", ", path: /}}}"))
    text = BASE.replace("key: event.host, input: {file: /var/log/a.log}}", f"{one}\n  r: {{topic: r, {two}")
    (problem,) = problems(tmp_path, text)
    assert "go to source `s` already" in problem.sentence()


def test_what_fills_a_topic_is_no_part_of_the_definition(tmp_path: Path) -> None:
    path, digests = tmp_path / "f.yaml", set()
    for text in (BASE, BASE.replace("a.log", "b.log"), BASE.replace(", input: {file: /var/log/a.log}", "")):
        path.write_text(text)
        digests.add(load_pipeline([path], environ={}).digest)
    assert len(digests) == 1
