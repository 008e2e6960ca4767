"""From the file to what runs: what is shared, what has a name of its own, what makes a difference and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command_line import RULES, written
from tests.stage import WATCH

from penstock.operators.error import Rejected
from penstock.operators.result import LatestPlan
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.load import load_pipeline

HOURLY = "  hourly: {every: 1h, agent: none}\n"


def compiled(folder: Path, text: str) -> Pipeline:
    return compile_pipeline(load_pipeline([written(folder, text)], environ={}))


def test_a_file_with_errors_is_not_compiled(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="the file has errors"):
        compiled(tmp_path, RULES.replace("each:", "eahc:"))


def test_topics_are_named_after_the_pipeline_unless_the_file_names_them(tmp_path: Path) -> None:
    layout = compiled(tmp_path, RULES).layout
    assert (layout.log, dict(layout.inputs)) == ("dev.rules.log", {"auth": "earliest"})
    assert layout.outputs == {"dev.rules.results", "dev.rules.partials", "dev.rules.dead"}
    named = compiled(tmp_path, f"{RULES}outputs: {{results: r, partials: p, dead: d}}\n")
    assert named.layout.outputs == {"r", "p", "d"}
    assert (named.plan.results.results, named.plan.results.partials, named.plan.dead_topic) == ("r", "p", "d")


def test_equal_aggregates_are_computed_once(tmp_path: Path) -> None:
    twice = f"""{RULES}  more: {{when: 'count(event.outcome=="failed",1m)>=9', agent: none}}\n"""
    assert len(compiled(tmp_path, twice).plan.slots) == 1
    other = f"""{RULES}  more: {{when: 'count(event.outcome == "failed", 61s) >= 9', agent: none}}\n"""
    assert len(compiled(tmp_path, other).plan.slots) == 2


def test_an_aggregate_behind_a_name_is_the_same_aggregate(tmp_path: Path) -> None:
    text = RULES.replace("triggers:", 'define:\n  failed: event.outcome == "failed"\ntriggers:')
    named = f"{text}  more: {{when: 'count(failed, 60s) >= 9', agent: none}}\n"
    assert len(compiled(tmp_path, named).plan.slots) == 1


def test_comments_and_order_make_no_difference_to_the_digest(tmp_path: Path) -> None:
    digest = compiled(tmp_path, RULES).plan.digest
    assert digest.startswith("sha256:")
    assert compiled(tmp_path, f"# a comment\n{RULES}").plan.digest == digest
    assert compiled(tmp_path, RULES.replace(">= 3", ">= 4")).plan.digest != digest


def test_a_trigger_keeps_its_identity_while_it_means_the_same(tmp_path: Path) -> None:
    """What it remembers in the log is found by it."""

    def identities(text: str) -> dict[str, str]:
        return {planned.name: planned.identity for planned in compiled(tmp_path, text).plan.triggers}

    before = identities(RULES)
    assert identities(RULES.replace("agent: none}\n  many", "labels: {a: b}, agent: none}\n  many")) == before
    changed = identities(RULES.replace(">= 3", ">= 4"))
    assert changed["root"] == before["root"]
    assert changed["many"] != before["many"]


def test_triggers_keep_the_identity_that_logs_of_earlier_versions_know_them_by(tmp_path: Path) -> None:
    """A field that a kind takes up later is no part of it where the file does not have it."""
    identities = [planned.identity for planned in compiled(tmp_path, RULES + HOURLY).plan.triggers]
    assert identities == ["root:1ad98c7a5ad7", "many:323db69e0d8f", "hourly:929f54b06c7f"]


def test_to_say_how_a_kind_fires_anyway_changes_nothing(tmp_path: Path) -> None:
    said = RULES.replace("agent: none}", "agent: none, fire: arrival}")
    before, after = (compiled(tmp_path, text).plan.triggers for text in (RULES, said))
    assert [planned.identity for planned in before] == [planned.identity for planned in after]


def with_part(words: str) -> str:
    return RULES.replace(">= 3'", f">= 3', {words}")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("by: event.ip", "by: ' event.ip '", True),
        ("by: event.ip", "by: event.user", False),
        ("by: event.ip", "by: event.ip, from: auth", False),
        ("from: auth", "from: [auth]", True),
        ("from: auth", "cooldown: 1m", False),
    ],
)
def test_what_a_trigger_sees_is_part_of_what_it_means(tmp_path: Path, one: str, other: str, same: bool) -> None:
    identities = [compiled(tmp_path, with_part(words)).plan.triggers[1].identity for words in (one, other)]
    assert (identities[0] == identities[1]) is same


def test_a_source_that_is_renamed_leaves_what_a_trigger_sees_as_it_was(tmp_path: Path) -> None:
    text = with_part("from: auth")
    renamed = text.replace("  auth: {topic", "  logins: {topic").replace("from: auth", "from: logins")
    assert renamed.count("logins") == 2
    assert compiled(tmp_path, renamed).plan.identities == compiled(tmp_path, text).plan.identities


def test_triggers_that_see_the_same_share_groups_and_aggregates(tmp_path: Path) -> None:
    more = """  more: {when: 'count(event.outcome == "failed", 60s) >= 9', by: 'event.ip', agent: none}\n"""
    plan = compiled(
        tmp_path, with_part("by: event.ip") + more + more.replace("more", "other").replace(".ip", ".user")
    ).plan
    assert [grouping.identity for grouping in plan.groupings] == ["by event.ip", "by event.user"]
    assert [planned.grouping for planned in plan.triggers] == [None, 0, 0, 1]
    assert plan.slots == ()
    assert plan.slot_names == (
        'count(event.outcome == "failed", 1m) by event.ip',
        'count(event.outcome == "failed", 1m) by event.user',
    )


@pytest.mark.parametrize("modifier", ["for", "keep_firing_for"])
def test_a_wait_is_part_of_what_a_trigger_means(tmp_path: Path, modifier: str) -> None:
    texts = [RULES, RULES.replace(">= 3'", f">= 3', {modifier}: 5m"), RULES.replace(">= 3'", f">= 3', {modifier}: 6m")]
    assert len({compiled(tmp_path, text).plan.triggers[1].identity for text in texts}) == 3


def test_a_debounce_is_part_of_what_a_trigger_means(tmp_path: Path) -> None:
    texts = [RULES, RULES.replace('"root"', '"root", debounce: 5m'), RULES.replace('"root"', '"root", debounce: 6m')]
    assert len({compiled(tmp_path, text).plan.triggers[0].identity for text in texts}) == 3


def test_a_name_that_means_something_else_makes_another_trigger(tmp_path: Path) -> None:
    def identity(limit: int) -> str:
        text = RULES.replace("triggers:", f"define:\n  limit: '{limit}'\ntriggers:").replace(">= 3", ">= limit")
        return compiled(tmp_path, text).plan.triggers[1].identity

    assert identity(3) == identity(3) != identity(4)


def test_triggers_know_their_agent_and_models_are_those_of_the_file(tmp_path: Path) -> None:
    pipeline = compiled(tmp_path, WATCH)
    agents = {planned.name: planned.agent and planned.agent.name for planned in pipeline.plan.triggers}
    assert agents == {"failed": "judge", "many": "judge", "odd": None}
    assert list(pipeline.models) == ["small"]


def test_results_report_the_names_that_expressions_and_templates_use(tmp_path: Path) -> None:
    text = """
penstock: v1
name: named
sources:
  auth: {topic: auth, key: event.host}
define:
  used: count(event.a, 1m)
  shown: count(event.b, 1m)
  idle: count(event.c, 1m)
triggers:
  t: {when: used > 1, annotations: {summary: "{{ values.shown }}"}, agent: none}
"""
    (trigger,) = compiled(tmp_path, text).plan.triggers
    assert [name for name, _ in trigger.values] == ["used", "shown"]


def test_every_output_is_in_the_layout_and_the_one_of_what_is_the_case_is_compacted(tmp_path: Path) -> None:
    routes = "routes: [{topic: pages, where: 'end'}, {topic: pages, where: '!end'}]"
    with_latest = compiled(tmp_path, RULES + f"outputs: {{latest: {{topic: open, keep: 1h}}, {routes}}}\n")
    own = {"dev.rules.results", "dev.rules.partials", "dev.rules.dead"}
    assert with_latest.layout.outputs == own | {"open", "pages"}
    assert with_latest.layout.compacted == {"open"}
    assert [route.topic for route in with_latest.plan.routes] == ["pages", "pages"]
    assert with_latest.plan.latest == LatestPlan("open", 3_600_000)
    plain = compiled(tmp_path, RULES)
    assert plain.layout.outputs == own
    assert (plain.layout.compacted, plain.plan.latest) == (frozenset(), None)
    assert compiled(tmp_path, RULES + "outputs: {latest: open}\n").plan.latest == LatestPlan("open", 0)
