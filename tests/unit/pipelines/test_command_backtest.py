"""`penstock backtest`, as people and pipelines of a build call it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from tests.command_line import RULES, failures, penstock, recording, written

EVENTS = [*failures(5), {"host": "db-1", "outcome": "ok", "user": "root"}]
ASKING = """
penstock: v1
name: asking
sources: {auth: {topic: auth, key: event.host}}
triggers: {root: {each: event.user == "root"}}
models: {small: {base_url: "http://127.0.0.1:9/v1", model: tiny, price: {input: 1, output: 1}}}
agents: {judge: {ask: "Is {{ key }} well?", answer: {verdict: {enum: [attack, benign]}}}}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path, RULES), recording(tmp_path, EVENTS)


def test_it_tells_events_firings_and_keys(files: tuple[Path, Path]) -> None:
    file, events = files
    done = penstock("backtest", file, "--input", events)
    assert (done.code, done.err) == (0, "")
    assert "6 events of 2 keys" in done.out
    told = penstock("backtest", file, "--input", events, "--json").json
    assert (told["events"], told["firings"]) == ({"auth": 6}, 2)
    assert {name: trigger["firings"] for name, trigger in told["triggers"].items()} == {"root": 1, "many": 1}


def test_two_processes_tell_the_same(files: tuple[Path, Path]) -> None:
    file, events = files
    one, two = (penstock("backtest", file, "--input", events, "--json", "-w", str(count)).json for count in (1, 2))
    del one["seconds"], two["seconds"]
    assert one == two


def test_out_holds_firings_a_summary_and_a_page(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, events = files
    out = tmp_path / "deep" / "out"
    assert penstock("backtest", file, "--input", events, "--out", out).code == 0
    firings = [orjson.loads(line) for line in (out / "firings.jsonl").read_bytes().splitlines()]
    assert sorted(firing["trigger"] for firing in firings) == ["many", "root"]
    assert orjson.loads((out / "summary.json").read_bytes())["firings"] == 2
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "http:" not in page
    assert "https:" not in page


def test_what_stands_in_events_and_files_is_escaped_in_the_page(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    text = RULES.replace(
        'root: {each: event.user == "root"', f'root: {{each: event.user == "root", labels: {{x: "{nasty}"}}'
    )
    file = written(tmp_path, text)
    candidate = written(tmp_path, RULES, "candidate.yaml")
    events = recording(tmp_path, [{"host": nasty, "outcome": "ok", "user": "root"}])
    out = tmp_path / "out"
    assert penstock("backtest", file, "--input", events, "--against", candidate, "--out", out).code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert nasty not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_candidate_that_changes_nothing_passes_the_gate(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, events = files
    same = written(tmp_path, RULES, "same.yaml")
    done = penstock("backtest", file, "--input", events, "--against", same, "--fail-on", "changed")
    assert done.code == 0
    assert "2 firings in both, 0 only in pipeline.yaml" in done.out


def test_a_candidate_that_fires_otherwise_fails_the_gate(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, events = files
    candidate = written(tmp_path, RULES.replace(">= 3", ">= 9").replace('"root"', '"user-1"'), "candidate.yaml")
    arguments = ("backtest", file, "--input", events, "--against", candidate)
    assert penstock(*arguments).code == 0
    done = penstock(*arguments, "--fail-on", "changed", "--json")
    assert (done.code, "would change" in done.err) == (1, True)
    assert done.json["difference"]["triggers"] == {
        "many": {"gone": 1, "new": 0, "changed": 0}, "root": {"gone": 1, "new": 1, "changed": 0},
    }  # fmt: skip


def test_scripted_answers_of_two_files_are_compared_field_by_field(tmp_path: Path) -> None:
    file = written(tmp_path, ASKING)
    candidate = written(tmp_path, ASKING.replace("well?", "ill?"), "candidate.yaml")
    script = written(
        tmp_path, "[{when: 'ill?', answer: {verdict: attack}}, {answer: {verdict: benign}}]", "script.yaml"
    )
    events = recording(tmp_path, EVENTS)
    done = penstock(
        "backtest",
        file,
        "--input",
        events,
        "--against",
        candidate,
        "--answers",
        "scripted",
        "--script",
        script,
        "--json",
    )
    (changed,) = done.json["difference"]["changed"]
    assert changed["fields"] == {"answer": {"present": {"verdict": "benign"}, "candidate": {"verdict": "attack"}}}
    assert (changed["trigger"], changed["key"]) == ("root", "db-1")
    assert done.json["agents"]["judge"]["states"] == {"final": 1}


def test_the_firings_of_one_backtest_answer_another(tmp_path: Path) -> None:
    file, events = written(tmp_path, ASKING), recording(tmp_path, EVENTS)
    penstock("backtest", file, "--input", events, "--answers", "scripted", "--out", tmp_path / "one")
    firings = tmp_path / "one" / "firings.jsonl"
    done = penstock("backtest", file, "--input", events, "--answers", "recorded", "--recorded", firings, "--json")
    assert done.json["agents"]["judge"]["states"] == {"final": 1}
    assert done.json["agents"]["judge"]["cost"] > 0


def test_a_forecast_is_written_and_held_against_what_came(tmp_path: Path) -> None:
    sources = "sources: {auth: {topic: auth, key: event.host, time: {at: event.ts, unit: ms}}}"
    file = written(tmp_path, ASKING.replace("sources: {auth: {topic: auth, key: event.host}}", sources))
    hours = [{"host": "db-1", "user": "root", "ts": 1_700_000_000_000 + 3_600_000 * hour} for hour in range(73)]
    first, second = recording(tmp_path, hours[::2], "one.jsonl"), recording(tmp_path, hours, "two.jsonl")
    rates = ("--rate", "prefill=8000/s", "--rate", "small.decode=60/s")
    done = penstock("backtest", file, "--input", first, *rates, "--out", tmp_path / "one")
    assert ("(least–most) of 3 whole days" in done.out, done.err) == (True, "")
    earlier = tmp_path / "one" / "forecast.json"
    told = penstock("backtest", file, "--input", second, *rates, "--earlier", earlier, "--out", tmp_path, "--json").json
    assert told["forecast"]["all"]["runs"] == {
        "per_day": pytest.approx(73 / 3), "low": 24, "high": pytest.approx(73 / 3),
    }  # fmt: skip
    assert told["earlier"]["all"]["runs"]["error"] == pytest.approx(37 / 73 - 1, abs=1e-6)
    assert told["forecast"]["all"]["in_flight"]["max"] == 1
    assert "How wrong the earlier forecast was" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_keys_push_each_other_out_of_a_cache_whose_size_is_given(tmp_path: Path) -> None:
    """Four hosts in turns, whose prompts go on from the last one: a cache that holds one of them helps none."""
    timed = ASKING.replace("key: event.host}", "key: event.host, time: {at: event.ts, unit: ms}}")
    file = written(tmp_path, timed.replace("name: asking", "name: asking\ncontext: {window: {events: 30}}"))
    said = {"user": "root", "text": "some words that make a long line of it, again and again, " * 4}
    events = recording(tmp_path, [{"host": f"db-{n % 4}", "ts": 1000 * n, **said} for n in range(40)])

    def cached(*arguments: str) -> int:
        told = penstock("backtest", file, "--input", events, "--json", *arguments).json
        assert told["forecast"]["rates"] == {}
        return int(told["agents"]["judge"]["cached_input_tokens"])

    estimated, roomy, tight = cached(), cached("--rate", "cache=1000000"), cached("--rate", "small.cache=1000")
    assert roomy == pytest.approx(estimated, rel=0.05)
    assert tight < roomy / 5
    assert cached("--rate", "cache=3000", "-w", "2") == cached("--rate", "cache=3000")


def test_labels_give_precision_and_recall(files: tuple[Path, Path], tmp_path: Path) -> None:
    file, events = files
    at = orjson.loads(penstock("backtest", file, "--input", events, "--out", tmp_path / "out", "--json").out)
    label = {"key": "db-1", "from": at["from"], "to": at["to"]}
    labels = written(tmp_path, orjson.dumps(label).decode(), "labels.jsonl")
    told: dict[str, Any] = penstock("backtest", file, "--input", events, "--labels", labels, "--json").json
    assert (told["labels"]["precision"], told["labels"]["recall"]) == (0.5, 1.0)
    assert told["triggers"]["root"]["labels"]["precision"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "--input: there is nothing to read"),
        (("--input", "nope=x.jsonl"), 2, "there is no source 'nope'"),
        (("--input", "gone.jsonl"), 1, "gone.jsonl: cannot be read: No such file"),
        (("--input", "EVENTS", "--answers", "made-up"), 2, "--answers: there are no answers 'made-up'"),
        (("--input", "EVENTS", "--answers", "recorded"), 2, "--recorded: recorded answers are in a file"),
        (("--input", "EVENTS", "--answers", "recorded", "--recorded", "EVENTS"), 1, "is no result"),
        (("--input", "EVENTS", "--answers", "scripted", "--script", "gone.yaml"), 1, "gone.yaml"),
        (("--input", "EVENTS", "--script", "gone.yaml"), 2, "--script: a script answers nobody"),
        (("--input", "EVENTS", "--labels", "EVENTS"), 1, "is no label"),
        (("--input", "EVENTS", "--labels", "gone.json"), 1, "gone.json: cannot be read"),
        (("--input", "EVENTS", "--series", "x"), 2, "--series: there are no labels"),
        (("--input", "EVENTS", "--end", "never"), 2, "--end: 'never' is no end"),
        (("--input", "EVENTS", "--fail-on", "changed"), 2, "--fail-on: there is nothing to compare with"),
        (("--input", "EVENTS", "--against", "FILE", "--fail-on", "dead"), 2, "--fail-on: 'dead' is nothing"),
        (("--input", "EVENTS", "--against", "gone.yaml"), 1, "gone.yaml"),
        (("--input", "EVENTS", "--out", "EVENTS/below"), 1, "cannot be written"),
        (("--input", "EVENTS", "-w", "0"), 2, "-w"),
        (("--input", "EVENTS", "--rate", "fast"), 2, "--rate: 'fast' is no rate"),
        (("--input", "EVENTS", "--earlier", "gone.json"), 1, "gone.json: cannot be read"),
        (("--input", "EVENTS", "--earlier", "EVENTS"), 1, "EVENTS: is no"),
    ],
)
def test_mistakes_are_named_with_what_to_do(
    arguments: tuple[str, ...], code: int, said: str, files: tuple[Path, Path]
) -> None:
    file, events = files
    named = [text.replace("EVENTS", str(events)).replace("FILE", str(file)) for text in arguments]
    said = said.replace("EVENTS", str(events))
    done = penstock("backtest", file, *named)
    assert (done.code, said in done.err) == (code, True), done.err
    assert "Traceback" not in done.err


def test_an_empty_recording_is_no_mistake(tmp_path: Path) -> None:
    done = penstock(
        "backtest", written(tmp_path, RULES), "--input", written(tmp_path, "", "none.jsonl"), "--out", tmp_path / "o"
    )
    assert (done.code, done.err) == (0, "")
    assert "0 events of 0 keys" in done.out


ROWS = ASKING.replace(
    'triggers: {root: {each: event.user == "root"}}',
    """tables: {hosts: {topic: cmdb, key: event.hostname}}
triggers: {watched: {each: 'tables.hosts[key].level > 1', agent: none}}""",
).replace("key: event.host}", "key: event.host, time: {at: event.ts, unit: ms}}")


def test_rows_are_looked_up_from_the_time_on_at_which_they_came(tmp_path: Path) -> None:
    """
    level of db-1    2 from the start    1 from 2 s    3 from 4 s    gone at 6 s
    events           0  1                2  3          4  5          6  7
    """
    events = recording(tmp_path, [{"host": "db-1", "ts": 1_700_000_000_000 + 1000 * at} for at in range(8)])
    base, file = 1_700_000_000_000, written(tmp_path, ROWS)
    rows: list[dict[str, Any]] = [
        {"hostname": "db-1", "level": 2},
        {"key": "r", "row": {"hostname": "db-1", "level": 3}, "at": base + 4000},
        {"row": {"hostname": "db-1", "level": 1}, "at": "2023-11-14T22:13:22Z"},
        {"key": "r", "row": None, "at": base + 6000},
    ]
    hosts = recording(tmp_path, rows, "hosts.jsonl")
    for workers in ("1", "2"):
        out = tmp_path / workers
        done = penstock("backtest", file, "--input", events, "--table", f"hosts={hosts}", "--out", out, "-w", workers)
        assert done.code == 0, done.err
        firings = [orjson.loads(line)["at"] for line in (out / "firings.jsonl").read_bytes().splitlines()]
        assert [at[17:19] for at in firings] == ["20", "21", "24", "25"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "nothing says what rows the table hosts has"),
        (("--table", "users=rows.jsonl"), 2, "'users=rows.jsonl' names no table"),
        (("--table", "hosts=gone.jsonl"), 1, "gone.jsonl: cannot be read"),
        (("--table", "hosts=ROWS"), 1, "ROWS:2: is no row"),
    ],
)
def test_rows_that_are_not_there_or_none_are_named(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    file, events = written(tmp_path, ROWS), recording(tmp_path, EVENTS)
    rows = recording(tmp_path, [{"hostname": "a"}, {"key": "a", "row": {}, "at": "soon"}], "rows.jsonl")
    done = penstock("backtest", file, "--input", events, *(text.replace("ROWS", str(rows)) for text in arguments))
    assert (done.code, said.replace("ROWS", str(rows)) in done.err) == (code, True), done.err


def test_processes_share_limits_as_partitions_do(tmp_path: Path) -> None:
    """Four may pass in an hour: with two processes two of each, of which one has more than its share to tell."""
    file = written(tmp_path, ASKING.replace('user == "root"}', 'user == "root", limit: 4/hour}'))
    hosts = [f"db-{number}" for number in range(12)]
    events = recording(tmp_path, [{"host": host, "user": "root"} for host in hosts])
    one, two = (penstock("backtest", file, "--input", events, "--json", "-w", count) for count in ("1", "2"))
    assert (one.json["firings"], one.err) == (4, "")
    assert two.json["firings"] == sum(min(2, count) for count in Counter(crc32(h.encode()) % 2 for h in hosts).values())
    assert "each of 2 processes lets its share through" in " ".join(two.err.split())


def test_it_says_what_never_fires_because_nobody_answers(tmp_path: Path) -> None:
    triggers = 'triggers: {root: {each: event.user == "root"}, note: {after: judge, agent: none}}'
    file = written(tmp_path, ASKING.replace('triggers: {root: {each: event.user == "root"}}', triggers))
    events = recording(tmp_path, EVENTS)
    done = penstock("backtest", file, "--input", events)
    assert "what is `after` an answer never fires: note; write --answers scripted" in " ".join(done.err.split())
    told = penstock("backtest", file, "--input", events, "--json", "--answers", "scripted")
    assert (told.err, told.json["triggers"]["note"]["firings"]) == ("", 1)


def test_what_a_model_judges_is_played_with_scripted_answers(tmp_path: Path) -> None:
    """The simulated model takes the option that the text names; vectors follow from its words."""
    triggers = (
        "triggers:\n"
        "  rooty: {semantic: event.user, model: small, options: [guest, root], is: root, agent: none}\n"
        "  fresh: {semantic: event.user, model: embed, unlike: 1h, agent: none}\n"
    )
    embed = 'embed: {base_url: "http://127.0.0.1:9/v1", model: bge, kind: embedding}'
    text = ASKING.replace('triggers: {root: {each: event.user == "root"}}', triggers)
    file = written(tmp_path, text.replace("models: {", f"models: {{{embed}, "))
    events = recording(tmp_path, EVENTS)
    silent = penstock("backtest", file, "--input", events)
    assert "is only answered by a script, so it never fires: rooty, fresh; write" in " ".join(silent.err.split())
    told = penstock("backtest", file, "--input", events, "--json", "--answers", "scripted")
    assert told.err == ""
    users = [event["user"] for event in EVENTS]
    assert told.json["triggers"]["rooty"]["firings"] == users.count("root")
    assert told.json["triggers"]["fresh"]["firings"] > 0
