"""A recording fed to the core alone: `check --sample` and `render`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.command_line import RULES, failures, recording, written
from tests.stage import WATCH

from penstock.operators.error import Misused, Rejected
from penstock.operators.expression import UNKNOWN
from penstock.operators.plan import Plan
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.samples import SampleTask, sample_records, source_of
from penstock.pipelines.sampling import tally_sample


def plan_of(folder: Path, text: str) -> Plan:
    return compile_pipeline(load_pipeline([written(folder, text)], environ={})).plan


def test_the_only_source_needs_no_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, RULES)
    assert source_of(plan, None) is source_of(plan, "auth") is plan.sources[0]
    with pytest.raises(Misused, match="name one of: auth"):
        source_of(plan, "other")


def test_one_of_several_sources_has_to_be_named(tmp_path: Path) -> None:
    second = RULES.replace("triggers:", "  web: {topic: web, key: event.host}\ntriggers:")
    with pytest.raises(Misused, match="name one of: auth, web"):
        source_of(plan_of(tmp_path, second), None)


def test_a_source_whose_records_are_no_lines_cannot_be_of_a_recording(tmp_path: Path) -> None:
    binary = RULES.replace("topic:", "format: avro, topic:", 1) + 'kafka: {registry: "http://localhost:8081"}\n'
    with pytest.raises(Rejected, match=r"no lines of text.*--set sources\.auth\.format=json"):
        source_of(plan_of(tmp_path, binary), None)


def test_every_run_asks_once_and_its_failure_is_the_end_of_it(tmp_path: Path) -> None:
    plan, sample = plan_of(tmp_path, WATCH), recording(tmp_path, failures(3))
    fed = SampleTask(plan, plan.sources[0])
    for raw in sample_records(plan.sources[0], sample):
        fed.feed(raw)
    fed.end()
    assert len({ask.run for ask in fed.asked}) == len(fed.asked) == 4
    assert fed.task.open_runs == 0


def test_what_expressions_come_to_is_counted_per_event(tmp_path: Path) -> None:
    events = [*failures(4), {"host": "web-1", "user": "root"}, {"user": "no host"}]
    tally = tally_sample(plan_of(tmp_path, RULES), recording(tmp_path, events), None)
    assert (tally.events, tally.keys) == (6, 1)
    assert tally.expressions['triggers.root: event.user == "root"'] == Counter({False: 4, True: 1})
    assert tally.expressions['triggers.many: count(event.outcome == "failed", 60s) >= 3'] == Counter(
        {False: 2, True: 3}
    )
    assert tally.counters["dead", "keyless"] == 1
    assert tally.counters["fired", "many"] == 1


def test_an_expression_is_asked_of_the_part_of_the_key_that_its_trigger_sees(tmp_path: Path) -> None:
    events = [{**event, "ip": ip} for event, ip in zip(failures(5), "aabaa", strict=True)] + [{"host": "web-1"}]
    parted = RULES.replace(">= 3'", ">= 3', by: event.ip")
    tally = tally_sample(plan_of(tmp_path, parted), recording(tmp_path, events), None)
    assert tally.expressions["triggers.many.by: event.ip"] == Counter({"other": 5, UNKNOWN: 1})
    assert tally.expressions['triggers.many: count(event.outcome == "failed", 60s) >= 3'] == Counter(
        {False: 3, True: 2}
    )
    assert tally.counters["expression_unknown", "event.ip"] == 1


def test_that_no_model_is_asked_is_nothing_that_a_sample_tells(tmp_path: Path) -> None:
    tally = tally_sample(plan_of(tmp_path, WATCH), recording(tmp_path, failures(3)), None)
    assert {what for what, _ in tally.counters} == {"events", "fired", "resolved"}


def test_expressions_are_counted_for_the_source_that_is_named_whatever_the_others_would_bring(tmp_path: Path) -> None:
    second = RULES.replace("triggers:", "  web: {topic: web, key: event.host}\ntriggers:")
    tally = tally_sample(plan_of(tmp_path, second), recording(tmp_path, failures(4)), "auth")
    assert tally.expressions['triggers.many: count(event.outcome == "failed", 60s) >= 3'] == Counter(
        {False: 2, True: 2}
    )


def test_keys_that_are_forgotten_were_there(tmp_path: Path) -> None:
    tally = tally_sample(plan_of(tmp_path, RULES + "context: {forget: 1h}\n"), recording(tmp_path, failures(4)), None)
    assert tally.keys == 1


def test_an_expression_over_a_missing_field_is_unknown(tmp_path: Path) -> None:
    tally = tally_sample(plan_of(tmp_path, RULES), recording(tmp_path, [{"host": "web-1"}]), None)
    assert tally.expressions['triggers.root: event.user == "root"'] == Counter({UNKNOWN: 1})
    assert tally.as_json()["events"] == 1


def test_a_field_that_no_event_has_shows_inside_of_an_aggregate(tmp_path: Path) -> None:
    """The count itself is 0 and never unknown: the misspelt field would be invisible."""
    rules = RULES.replace('count(event.outcome == "failed", 60s)', 'sum(event.times, 60s, event.outcom == "failed")')
    events = [{"host": "web-1", "outcome": "failed"}, {"host": "web-1", "outcom": "failed"}]
    found = tally_sample(plan_of(tmp_path, rules), recording(tmp_path, events), None).expressions
    aggregate = 'in sum(event.times, 1m, event.outcom == "failed")'
    assert found[f'{aggregate}: event.outcom == "failed"'] == Counter({UNKNOWN: 1, True: 1})
    assert found[f"{aggregate}: event.times"] == Counter({UNKNOWN: 1})
