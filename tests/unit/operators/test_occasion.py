"""Why something fired, and the id that follows from it."""

from __future__ import annotations

from collections import Counter

from tests.oracle.product import plan_of

from penstock.operators.context import Context, ContextSettings
from penstock.operators.key_state import KeyState
from penstock.operators.occasion import Occasions
from penstock.operators.plan import Plan, PlannedTrigger
from penstock.operators.record import Record
from penstock.operators.run import Firing
from penstock.operators.trigger import Fired

FILE = """
penstock: v1
name: occasions
labels: {team: secops, severity: info}
sources:
  auth: {topic: auth-log, key: event.host}
triggers:
  each: {each: 'event.x == "a"', agent: none}
  when:
    when: count(true, 5s) >= 1
    labels: {severity: critical}
    annotations: {summary: "{{ trigger.name }} on {{ key }}"}
    agent: none
"""
PLAN = plan_of(FILE)
RECORD = Record("auth-log", 3, 41, 1_000, None, b"{}")


def planned(name: str) -> PlannedTrigger:
    return next(planned for planned in PLAN.triggers if planned.name == name)


def firing(
    name: str = "each",
    *,
    fired: Fired | None = None,
    raw: Record | None = RECORD,
    partition: int = 3,
    key: str = "h",
    generation: int = 0,
    ended: bool = False,
    plan: Plan = PLAN,
) -> Firing:
    occasions = Occasions(plan, partition, {"auth-log": generation}.__getitem__)
    occasions.ended = ended
    state = KeyState(key, Context(ContextSettings()), (), (None,) * len(PLAN.triggers), Counter())
    return occasions.firing(state, planned(name), fired or Fired(1_000, None), raw)


def test_what_an_event_fires_is_caused_by_its_record_named_as_the_file_names_its_source() -> None:
    assert firing().cause == "auth/3@41"


def test_a_source_that_is_renamed_in_the_file_changes_no_ids() -> None:
    renamed = firing(plan=plan_of(FILE.replace("auth:", "logins:")))
    assert (renamed.cause, renamed.run) == ("logins/3@41", firing().run)


def test_a_record_of_a_topic_that_was_made_anew_is_another_cause() -> None:
    assert firing(generation=1).run != firing().run
    assert firing(generation=1).cause == firing().cause


def test_what_time_fires_is_caused_by_the_instant_at_which_it_was_due() -> None:
    assert firing("when", fired=Fired(7_000, 7_000), raw=None).cause == "timer@7000"
    assert firing("when", fired=Fired(7_000, 7_000), raw=RECORD).cause == "timer@7000"


def test_the_run_follows_from_partition_trigger_key_and_cause_alone() -> None:
    ids = {
        firing().run,
        firing(partition=4).run,
        firing("when").run,
        firing(key="other").run,
        firing(raw=Record("auth-log", 3, 42, 1_000, None, b"{}")).run,
    }
    assert len(ids) == 5
    assert firing().run == firing(fired=Fired(9_999, None), ended=True).run
    assert firing(partition=4).run.startswith("4-")


def test_only_what_has_an_end_opens_an_episode() -> None:
    assert firing("each").episode is None
    fired = firing("when")
    assert fired.episode == f"{fired.run}/episode"


def test_the_triggers_labels_go_over_the_files() -> None:
    assert firing("each").labels == {"team": "secops", "severity": "info"}
    assert firing("when").labels == {"team": "secops", "severity": "critical"}


def test_annotations_are_rendered_once_per_firing() -> None:
    assert firing("when").annotations == {"summary": "when on h"}


def test_it_says_whether_the_end_of_the_input_was_needed() -> None:
    assert not firing().end
    assert firing(ended=True).end


def test_it_tells_what_was_noted_for_it() -> None:
    assert firing(fired=Fired(7_000, 7_000, {"n": 3})).values == {"n": 3}
