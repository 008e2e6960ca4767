"""What `check --against` says about two files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import penstock, written

OLD = """
penstock: v1
name: compared
sources:
  auth: {topic: auth, key: event.host}
  flow: {topic: flow, key: event.host}
define:
  failures: count(event.outcome == "failed", 60s)
triggers:
  same: {each: has(event.x), agent: judge}
  other: {when: failures >= 3}
  gone: {when: 'sum(event.bytes, 5m) > 9'}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: What is it?, models: [small]}
  jury: {ask: What are they?, models: [small]}
"""
OLD = OLD.replace("failures >= 3}", "failures >= 3, agent: jury}").replace("> 9'}", "> 9', agent: none}")
NEW = (
    OLD.replace("  flow: {topic: flow, key: event.host}\n", "  dns: {topic: dns, key: event.host}\n")
    .replace(">= 3", ">= 4")
    .replace("gone: {when: 'sum(event.bytes, 5m)", "fresh: {when: 'sum(event.bytes, 6m)")
    .replace("What are they?", "Who are they?")
    .replace("models: [small]}\n  jury", "models: [small], limits: {time: 60s}}\n  jury")
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path, OLD, "old.yaml")


def test_a_file_against_itself_goes_on_with_everything(old: Path) -> None:
    done = penstock("check", old, "--against", old)
    assert (done.code, done.err) == (0, "")
    assert {line.partition(": ")[2] for line in done.out.splitlines()} == {"read on from where it is", "goes on"}


def test_what_goes_on_what_begins_anew_and_what_is_kept_for_a_while_is_said_of_every_part(
    old: Path, tmp_path: Path
) -> None:
    done = penstock("check", written(tmp_path, NEW, "new.yaml"), "--against", old)
    assert done.code == 0
    assert done.out.splitlines() == [
        "sources.auth: read on from where it is",
        "sources.dns: new: begins where its `start` says",
        "sources.flow: gone: its position is kept, for the case that it comes back",
        "triggers.same: goes on",
        "triggers.other: begins anew: it means something else now; what it remembered is kept for 7 days",
        "triggers.fresh: new",
        "triggers.gone: gone: what it remembers is kept for 7 days, for the case that it comes back",
        'aggregates.count(event.outcome == "failed", 1m): goes on',
        "aggregates.sum(event.bytes, 6m): new: begins empty",
        "aggregates.sum(event.bytes, 5m): gone: kept for 7 days, for keys without an event meanwhile",
        "agents.judge: changed: runs in flight finish as they began",
        "agents.jury: changed: runs in flight finish as they began",
    ]


def test_machines_get_it_as_json(old: Path, tmp_path: Path) -> None:
    done = penstock("check", written(tmp_path, NEW, "new.yaml"), "--against", old, "--json")
    assert (done.code, done.json["ok"], done.json["same_log"], done.json["refused"]) == (0, True, True, [])
    assert done.json["triggers"] == {"same": "kept", "other": "changed", "fresh": "new", "gone": "gone"}
    assert done.json["sources"] == {"auth": "kept", "dns": "new", "flow": "gone"}
    assert done.json["failing"] == {}


def test_what_state_cannot_follow_is_refused_with_the_way_out(old: Path, tmp_path: Path) -> None:
    new = written(tmp_path, OLD.replace("auth, key: event.host", "auth, key: event.user, time: event.ts"), "new.yaml")
    done = penstock("check", new, "--against", old)
    assert done.code == 1
    sentences = [line.partition("; ") for line in done.out.splitlines()[-2:]]
    assert [sentence for sentence, _, _ in sentences] == [
        "refused: the key of topic auth was event.host and is event.user now",
        "refused: the time of topic auth was the record's timestamp and is event.ts now",
    ]
    assert {way_out for _, _, way_out in sentences} == {
        "take that back, or begin afresh under another name or namespace"
    }
    as_json = penstock("check", new, "--against", old, "--json")
    assert (as_json.code, as_json.json["ok"], len(as_json.json["refused"])) == (1, False, 2)


def test_under_another_name_nothing_follows_and_nothing_is_refused(old: Path, tmp_path: Path) -> None:
    text = OLD.replace("name: compared", "name: other").replace("auth, key: event.host", "auth, key: event.user")
    done = penstock("check", written(tmp_path, text, "new.yaml"), "--against", old)
    assert (done.code, done.out) == (
        0,
        "another name or namespace: it begins with an empty log, and nothing of the state follows\n",
    )


def test_agents_whose_runs_in_flight_cannot_finish_are_named(old: Path, tmp_path: Path) -> None:
    new = written(tmp_path, NEW.replace("small", "large"), "new.yaml")
    done = penstock("check", new, "--against", old)
    assert done.code == 0
    assert done.out.splitlines()[-2:] == [
        f"agents.{name}: its runs in flight will fail: the file has no model 'small' any more"
        for name in ("judge", "jury")
    ]


def test_overlays_and_variables_hold_for_both(tmp_path: Path) -> None:
    text = OLD.replace("name: compared", "name: compared\nnamespace: ${WHERE}")
    old, new = written(tmp_path, text, "old.yaml"), written(tmp_path, text.replace(">= 3", ">= 5"), "new.yaml")
    variables = written(tmp_path, "WHERE=prod\n", "variables")
    overlay = written(tmp_path, "triggers: {same: null}\n", "overlay.yaml")
    done = penstock("check", new, "--against", old, "--env-file", variables, "-f", overlay, "--json")
    assert done.json["triggers"] == {"other": "changed", "gone": "kept"}


def test_an_older_file_with_errors_is_told_with_its_problems(old: Path, tmp_path: Path) -> None:
    broken = written(tmp_path, OLD.replace("topic: auth", "topik: auth"), "broken.yaml")
    done = penstock("check", old, "--against", broken)
    assert done.code == 1
    assert "broken.yaml" in done.err
