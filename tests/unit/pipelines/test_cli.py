"""The commands as somebody at a terminal meets them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.command_line import COMMAND, RULES, commands, failures, penstock, recording, written
from tests.rekeyed import REKEYED

from penstock.operators.error import Damaged, Misused, Rejected, Unreachable
from penstock.pipelines.cli import _explain

COMMANDS = commands()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does_and_shows_an_example_that_parses(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    example = shlex.split((command.epilog or "").removeprefix("Example: "))
    assert example[: 1 + len(path)] == ["penstock", *path]
    command.make_context(path[-1], example[1 + len(path) :])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    done = penstock(*path, "--help")
    assert done.code == 0
    assert "Usage: penstock" in done.out


def test_the_version_is_that_of_the_distribution() -> None:
    assert penstock("--version").out.strip() == version("penstock")


def test_wrong_usage_is_exit_code_2() -> None:
    assert penstock("check").code == 2
    assert penstock("chek").code == 2
    assert penstock("check", "--no-such-option", "x").code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(Rejected("no", where="x"), 1), (Misused("no", where="--x"), 2), (Unreachable("gone"), 3), (Damaged("torn"), 4)],
)
def test_what_goes_wrong_in_a_known_way_is_a_sentence_with_its_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _explain(error) == code
    assert capsys.readouterr().err == f"penstock: {error}\n"


def test_a_bug_is_a_sentence_that_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_TRACEBACK", raising=False)
    assert _explain(KeyError("x")) == 1
    assert "a bug in Penstock: KeyError: 'x'" in capsys.readouterr().err


def test_a_bug_shows_where_it_is_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TRACEBACK", "1")
    with pytest.raises(KeyError):
        _explain(KeyError("x"))


def test_init_writes_a_pipeline_that_is_fine_and_overwrites_none(tmp_path: Path) -> None:
    folder = tmp_path / "watch"
    assert penstock("init", folder).code == 0
    assert (folder / "penstock.schema.json").exists()
    assert (folder / "penstock.test.schema.json").exists()
    assert penstock("check", folder / "pipeline.yaml").out == "fine\n"
    for kept in ("pipeline.yaml", "pipeline.test.yaml"):
        again = penstock("init", folder)
        assert (again.code, f"{kept}: is there already" in again.err) == (1, True)
        (folder / kept).unlink()


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    done = penstock("init", written(tmp_path, "a file, not a folder") / "below")
    assert (done.code, "cannot be written" in done.err) == (1, True)


def test_check_names_every_problem_with_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, RULES.replace("each:", "eahc:").replace("key:", "kye:"))
    done = penstock("check", file)
    assert done.code == 1
    assert re.findall(r"pipeline\.yaml:(\d+):\d+ error (PS\d+)", done.err) == [("5", "PS010"), ("7", "PS014")]
    assert done.err.endswith("2 errors, 0 warnings\n")


def test_check_counts_one_error_as_one(tmp_path: Path) -> None:
    done = penstock("check", written(tmp_path, RULES.replace("each:", "eahc:")))
    assert done.err.endswith("1 error, 0 warnings\n")


def test_check_speaks_to_machines(tmp_path: Path) -> None:
    file = written(tmp_path, RULES.replace("each:", "eahc:"))
    told = penstock("check", file, "--json").json
    assert (told["ok"], [problem["code"] for problem in told["problems"]]) == (False, ["PS014"])
    assert penstock("check", file, "--format", "github").out.startswith("::error file=")


def test_check_shows_the_file_as_it_takes_effect_without_its_secrets(tmp_path: Path) -> None:
    models = f'models:\n  m: {{base_url: "https://h/v1", model: x, api_key: "hush", request: {{seed: {10**25}}}}}\n'
    overlay = written(tmp_path, "labels: {team: blue}", "overlay.yaml")
    ask = ["check", str(written(tmp_path, RULES + models)), "-f", str(overlay), "--set", "namespace=prod"]
    done, told = penstock(*ask, "--resolved"), penstock(*ask, "--resolved", "--json")
    assert (done.code, done.err, told.code, told.err) == (0, "", 0, "")
    assert "team: blue" in done.out
    assert "namespace: prod" in done.out
    assert "hush" not in done.out + told.out
    assert (told.json["labels"], told.json["namespace"]) == ({"team": "blue"}, "prod")
    assert json.loads(told.out)["models"]["m"]["api_key"] == "***"
    assert json.loads(told.out)["models"]["m"]["request"] == {"seed": 10**25}


def test_check_counts_what_expressions_come_to_on_a_recording(tmp_path: Path) -> None:
    file, sample = written(tmp_path, RULES), recording(tmp_path, failures(5))
    done = penstock("check", file, "--sample", sample)
    assert re.search(r"triggers\.root: .* +· +5 +·", done.out)
    assert "5 events of 1 key; fired many: 1" in done.out
    assert penstock("check", file, "--sample", sample, "--json").json["events"] == 5


def test_a_problem_in_the_file_ends_every_command_that_needs_it(tmp_path: Path) -> None:
    file = written(tmp_path, RULES.replace("each:", "eahc:"))
    for command in (["run"], ["tail"], ["feed"], ["topics", "plan"], ["topics", "apply"], ["render", "--sample", "x"]):
        done = penstock(*command, file)
        assert (done.code, "PS014" in done.err) == (1, True)


def test_a_model_server_and_a_broker_that_are_away_are_exit_code_3(tmp_path: Path) -> None:
    models = 'models:\n  m: {base_url: "http://127.0.0.1:9/v1", model: x}\n'
    file = written(tmp_path, RULES + models)
    done = penstock("check", file, "--connect", "--set", "kafka.bootstrap=127.0.0.1:9")
    assert done.code == 3
    assert "kafka 127.0.0.1:9: no broker answers" in done.err
    assert "model m at http://127.0.0.1:9/v1: cannot be reached: connection refused" in done.err


def test_before_the_first_run_the_check_of_the_world_says_what_will_be_created_and_creates_nothing(
    tmp_path: Path,
) -> None:
    file, db = written(tmp_path, RULES), tmp_path / "watch.db"
    ask = ["check", str(file), "--connect", "--broker", f"sqlite:{db}"]
    own = "dev.rules.log, dev.rules.dead, dev.rules.partials, dev.rules.results, dev.rules.previews"
    done = penstock(*ask)
    assert (done.code, done.out) == (0, f"fine\nbroker sqlite:{db}: fine; will be created: auth, {own}\n")
    assert list(tmp_path.iterdir()) == [file]
    assert penstock("feed", file, "--input", recording(tmp_path, failures(1)), "--broker", f"sqlite:{db}").code == 0
    assert penstock(*ask).out == f"fine\nbroker sqlite:{db}: fine; will be created: {own}\n"


def test_topics_of_a_stage_before_this_one_are_named_with_the_others(tmp_path: Path) -> None:
    file, db = written(tmp_path, REKEYED), f"sqlite:{tmp_path / 'watch.db'}"
    told = penstock("check", file, "--connect", "--broker", db).out.strip()
    _, _, named = told.rpartition("will be created: ")
    below = "dev.watch.rekey.auth"
    assert set(named.split(", ")) >= {"auth", "dev.watch.log", below, f"{below}.log", "dev.watch.dead"}
    assert len(named.split(", ")) == len(set(named.split(", ")))


def test_a_file_for_topics_that_cannot_be_made_is_exit_code_3(tmp_path: Path) -> None:
    broker = f"sqlite:{tmp_path / 'no' / 'watch.db'}"
    done = penstock("check", written(tmp_path, RULES), "--connect", "--broker", broker)
    assert (done.code, "watch.db: no file can be made here (check that its folder" in done.err) == (3, True)


def test_warnings_stand_there_once_and_the_answers_of_the_world_leave_the_json_alone(tmp_path: Path) -> None:
    share = "  share: {when: 'count(event.bad, 5m) / count(event.host != \"\", 5m) > 0.5', agent: none}\n"
    ask = ["check", str(written(tmp_path, RULES + share)), "--connect", "--broker", f"sqlite:{tmp_path / 'watch.db'}"]
    assert penstock(*ask).err.count("PS031") == 1
    told = penstock(*ask, "--json")
    assert [problem["code"] for problem in told.json["problems"]] == ["PS031"]
    assert "will be created" in told.err


def test_a_pipeline_runs_on_a_file_that_nobody_prepared(tmp_path: Path) -> None:
    """`feed` makes the source, `run` the rest; `tail` shows what came out, and what died."""
    file, broker = written(tmp_path, RULES), ("--broker", f"sqlite:{tmp_path / 'watch.db'}")
    events = [*failures(3), {"user": "root", "host": "web-2"}, {"user": "nobody"}]
    fed = penstock("feed", file, "--input", recording(tmp_path, events), *broker)
    assert (fed.code, fed.out, fed.err) == (0, "wrote 5 records to auth\n", "created topic auth\n")
    run = subprocess.run(
        [*COMMAND, "run", str(file), *broker, "--until-idle", "0.2", "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert '"fired many":1' in run.stdout
    shown = penstock("tail", file, *broker, "--until-idle", "0.2")
    assert [line.split()[2:5] for line in shown.out.splitlines()] == [
        ["web-1", "many", "final"],
        ["web-2", "root", "final"],
    ]
    dead = penstock("tail", file, *broker, "--topic", "dead", "--until-idle", "0.2")
    assert dead.out.startswith("auth/0@4  keyless")
    raw = penstock("tail", file, *broker, "--topic", "dead", "--until-idle", "0.2", "--json").json
    assert raw["value"] == {"user": "nobody"}


def test_tail_follows_what_is_the_case_and_routes_by_their_topics(tmp_path: Path) -> None:
    outputs = "outputs: {latest: {topic: open, keep: 1m}, routes: [{topic: pages, where: 'key == \"web-1\"'}]}\n"
    file, broker = written(tmp_path, RULES + outputs), ("--broker", f"sqlite:{tmp_path / 'watch.db'}")
    events = [{"user": "root", "host": "web-2"}, *failures(3)]
    assert penstock("feed", file, "--input", recording(tmp_path, events), *broker).code == 0
    run = [*COMMAND, "run", str(file), *broker, "--until-idle", "0.2"]
    assert subprocess.run(run, capture_output=True, timeout=60, check=False).returncode == 0
    for topic, states in {
        "open": None,
        "latest": [["web-2", "root"], ["web-1", "many"]],
        "pages": [["web-1", "many"]],
    }.items():
        shown = penstock("tail", file, *broker, "--topic", topic, "--until-idle", "0.2")
        if states is None:
            assert shown.code == 2
            assert "write one of: results, partials, dead, latest, pages" in shown.err
        else:
            assert [line.split()[2:4] for line in shown.out.splitlines()] == states


def test_run_makes_its_sources_on_an_embedded_broker_and_ends_cleanly_on_a_signal(tmp_path: Path) -> None:
    broker = f"sqlite:{tmp_path / 'watch.db'}"
    command = [*COMMAND, "run", str(written(tmp_path, RULES)), "--broker", broker]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        said = [next(worker.stderr)]
        while "opened" not in said[-1]:
            said.append(next(worker.stderr))
        worker.send_signal(signal.SIGTERM)
        said += list(worker.stderr)
    assert worker.returncode == 0
    assert "stopping: SIGTERM" in said[-2]
    assert "exit code 0" in said[-1]


def test_the_second_ctrl_c_does_not_wait_for_anything(tmp_path: Path) -> None:
    """Somebody holds the lock of the file, so that a clean end has to wait."""
    db = tmp_path / "watch.db"
    command = [*COMMAND, "run", str(written(tmp_path, RULES)), "--broker", f"sqlite:{db}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert any("opened" in line for line in worker.stderr)
        with closing(sqlite3.connect(db, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            worker.send_signal(signal.SIGINT)
            assert any("Ctrl-C again" in line for line in worker.stderr)
            worker.send_signal(signal.SIGINT)
            assert worker.wait(30) == 130


def test_a_level_of_the_log_that_there_is_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_LOG", "loud")
    done = penstock("run", written(tmp_path, RULES), "--broker", f"sqlite:{tmp_path / 'watch.db'}")
    assert (done.code, "PENSTOCK_LOG: 'LOUD' is no level (write one of: " in done.err) == (1, True)


def test_tail_refuses_results_of_a_newer_version(tmp_path: Path) -> None:
    file, db = written(tmp_path, RULES), tmp_path / "watch.db"
    broker = ("--broker", f"sqlite:{db}", "--until-idle", "0.2")
    penstock("feed", file, "--input", recording(tmp_path, failures(3)), *broker[:2])
    assert (
        subprocess.run([*COMMAND, "run", str(file), *broker], capture_output=True, timeout=60, check=False).returncode
        == 0
    )
    with closing(sqlite3.connect(db)) as changed:
        changed.execute(
            "UPDATE record SET value = CAST(replace(CAST(value AS TEXT), 'penstock.result/1', 'penstock.result/2') AS BLOB)"
        )
        changed.commit()
    done = penstock("tail", file, *broker)
    assert (done.code, "dev.rules.results/0@0: the record has the schema penstock.result/2" in done.err) == (4, True)
    assert penstock("tail", file, *broker, "--json").code == 0


def test_tail_of_a_file_that_nobody_runs_on_says_what_makes_it_and_makes_nothing(tmp_path: Path) -> None:
    file, db = written(tmp_path, RULES), tmp_path / "watch.db"
    tail = ["tail", str(file), "--broker", f"sqlite:{db}"]
    gone = penstock(*tail)
    assert (gone.code, "`penstock run`" in gone.err, db.exists()) == (3, True, False)
    db.touch()
    empty = penstock(*tail)
    assert (empty.code, "`penstock run`" in empty.err, db.stat().st_size) == (3, True, 0)
    assert penstock("feed", file, "--input", recording(tmp_path, failures(1)), "--broker", f"sqlite:{db}").code == 0
    missing = penstock(*tail)
    assert missing.code == 3
    assert "dev.rules.results: there is no such topic (`penstock run`" in missing.err
    with closing(sqlite3.connect(db)) as looked_at:
        assert looked_at.execute("SELECT name FROM topic").fetchall() == [("auth",)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["feed", "--input", "missing.jsonl"], "missing.jsonl: cannot be read"),
        (["feed"], "source auth: it cannot read the generated lines"),
        (["render", "--sample", "missing.jsonl"], "missing.jsonl: cannot be read"),
    ],
)
def test_a_recording_that_cannot_be_used_is_exit_code_1_and_a_sentence(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = penstock(arguments[0], written(tmp_path, RULES), *arguments[1:])
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


MISUSES = {
    "check --format xml": "--format: there is no format 'xml' (write text or github)",
    "check --broker nope:1": "--broker (or PENSTOCK_BROKER): there is no broker 'nope' (write one of: kafka, sqlite)",
    "check --connect --broker sqlite:": "--broker (or PENSTOCK_BROKER): sqlite needs a file (write sqlite:PATH)",
    "run --listen abc": "--listen: 'abc' is not an address (write :9464 or 127.0.0.1:9464)",
    "run --broker nope:1": "there is no broker 'nope'",
    "run --fail-on dead,odd": "--fail-on: there is nothing called 'odd' to fail on (write dead, failed or degraded",
    "tail --topic nothing": "--topic: there is no topic 'nothing' to follow (write one of: results, partials, dead)",
    "tail --broker rabbit": "there is no broker 'rabbit'",
    "feed --source other": "--source: there is no source 'other' (name one of: auth)",
    "demo": "name a recording for your pipeline with --input",
}


@pytest.mark.parametrize("words", MISUSES)
def test_an_option_with_a_value_that_it_cannot_have_is_exit_code_2_and_a_sentence_that_names_it(
    words: str, tmp_path: Path
) -> None:
    command, *options = words.split()
    done = penstock(command, written(tmp_path, RULES), *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert MISUSES[words] in done.err


@pytest.mark.parametrize("options", [["--listen", "abc"], ["--fault", "fire=0.1"], ["--fault", "cut=0.7,busy=0.7"]])
def test_the_simulated_server_refuses_wrong_values_in_the_same_way(options: list[str]) -> None:
    done = penstock("fake-model", *options)
    assert (done.code, done.err.count("\n"), options[0] in done.err) == (2, 1, True)


def test_render_shows_the_prompt_that_a_recording_leads_to(tmp_path: Path) -> None:
    assert penstock("init", tmp_path / "w").code == 0
    file, sample = tmp_path / "w" / "pipeline.yaml", recording(tmp_path, failures(25))
    shown = penstock("render", file, "--sample", sample)
    assert "Is this host under attack?" in shown.out
    assert "prompt 1 of 1: run 0-" in shown.out
    told = penstock("render", file, "--sample", sample, "--json").json
    assert (told["key"], told["cached_tokens"], told["tokens"] > 100) == ("web-1", 0, True)
    beyond = penstock("render", file, "--sample", sample, "--at", "2")
    assert (beyond.code, "leads to 1 prompt (choose a smaller --at)" in beyond.err) == (1, True)
    nobody = penstock("render", file, "--sample", sample, "--set", "triggers.brute_force.agent=none")
    assert (nobody.code, "`agent: none` asks nobody" in nobody.err) == (1, True)


def test_the_demo_counts_the_same_whenever_it_runs() -> None:
    first, second = (penstock("demo", "--hours", "0.3", "--json").json for _ in range(2))
    assert first["events"] == second["events"] > 100
    assert first["runs"] == first["firings"] == second["runs"] > 0
    assert (first["failed"], first["dead"], first["simulated"]) == (0, 0, True)


def test_the_demo_plays_a_recording_of_ones_own(tmp_path: Path) -> None:
    assert penstock("init", tmp_path / "w").code == 0
    done = penstock("demo", tmp_path / "w" / "pipeline.yaml", "--input", recording(tmp_path, failures(25)))
    assert done.code == 0
    assert re.search(r"web-1  brute_force  final     verdict: .*\(simulated\)", done.out)
    assert "\x1b" not in done.out
    assert re.search(r"^events +25$", done.out, re.MULTILINE)


def test_the_schemas_are_those_of_the_file_its_scenarios_and_results() -> None:
    assert "triggers" in penstock("schema").json["properties"]
    assert "scenarios" in penstock("schema", "test").json["properties"]
    assert "verdict" not in penstock("schema", "result").json["properties"]
    assert penstock("schema", "nothing").code == 2
