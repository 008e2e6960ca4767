"""Whose a key is: what its events say, what results, expressions and models are told of it, and what a restart leaves of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.oracle.product import plan_of
from tests.oracle.stand import Stand

from penstock.operators.event import Answered, Ask, Usage
from penstock.operators.run import cache_salt
from penstock.operators.task import Cut
from penstock.operators.tenants import TENANT_CHARACTERS_MAX, tenant_name

FILE = """
penstock: v1
name: desk
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, tenant: event.whose, LATENESS}
context: {forget: 1h}
triggers:
TRIGGERS
"""
ASKING = """
penstock: v1
name: desk
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, tenant: event.whose}
triggers:
  asked: {each: 'true', agent: judge}
  followed: {after: judge, where: 'tenant == "acme"', annotations: {whose: "{{ tenant }}"}, agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: "For {{ tenant }}?", answer: {ok: {type: boolean}}}
"""
WAITING = "watermark: {delay: 5s, idle: never, lateness: 10s}"


def desk(*triggers: str, watermark: str = "watermark: {delay: 0s, idle: never}") -> Stand:
    text = "\n".join(f"  {trigger}" for trigger in triggers)
    return Stand(FILE.replace("LATENESS", watermark).replace("TRIGGERS", text))


def tenants(stand: Stand, cut: Cut, trigger: str) -> list[Any]:
    told = [result for result in stand.results(cut) if result["triggers"] == [trigger]]
    return [result["tenant"] for result in told if result["state"] != "resolved"]


EVERY = "every_event: {each: 'true', agent: none}"


def test_a_result_names_the_tenant_of_the_last_event_that_names_one() -> None:
    stand = desk(EVERY)
    stand.feed(stand.event(1), stand.event(2, whose="acme"), stand.event(3), stand.event(4, whose=None))
    assert tenants(stand, stand.cut(), "every_event") == [None, "acme", "acme", "acme"]
    assert stand.task.counters["without_tenant", "auth"] == 3


def test_keys_have_tenants_of_their_own() -> None:
    stand = desk(EVERY)
    stand.feed(stand.event(1, whose="acme"), stand.event(2, host="i", whose="globex"), stand.event(3))
    assert tenants(stand, stand.cut(), "every_event") == ["acme", "globex", "acme"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("acme", "acme"),
        ("", ""),
        (7, "7"),
        (7.0, "7"),
        (True, "true"),
        (["b", 1], '["b",1]'),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        (2**70, "1.1805916207174113e21"),
        (None, None),
        ("x" * (TENANT_CHARACTERS_MAX + 1), None),
    ],
)
def test_what_is_no_text_is_named_by_its_canonical_json(value: Any, name: str | None) -> None:
    assert tenant_name(value) == name


def test_a_second_tenant_of_one_key_is_counted_and_counts_from_its_event_on() -> None:
    stand = desk(EVERY)
    stand.feed(stand.event(1, whose="acme"), stand.event(2, whose="globex"), stand.event(3, whose="globex"))
    assert tenants(stand, stand.cut(), "every_event") == ["acme", "globex", "globex"]
    assert stand.task.counters["tenant_changed", "auth"] == 1


def test_what_was_due_before_an_event_belongs_to_the_tenant_of_before() -> None:
    """The `for` of the first event is over at 6, and nothing is fed between 1 and 9.

    acme 1 ├──── for: 5s ────▶ 6 F                 9 globex
    """
    stand = desk("lasting: {when: 'count(true, 1h) >= 1', for: 5s, agent: none}", watermark=WAITING)
    stand.feed(stand.event(1, whose="acme"), stand.event(9, whose="globex"))
    cut = stand.cut()
    assert tenants(stand, cut, "lasting") == ["acme"]


def test_an_expression_of_an_event_sees_the_tenant_with_that_event() -> None:
    stand = desk(
        """acme: {each: 'tenant == "acme"', agent: none}""", "nobody: {each: tenant == null, agent: none}",
        """counted: {when: 'count(tenant == "acme", 1h) >= 2', agent: none}""",
    )  # fmt: skip
    stand.feed(*(stand.event(at, whose=whose) for at, whose in enumerate([None, "acme", None, "globex", None], 1)))
    results = [(result["triggers"][0], result["why"]["fired_by"]) for result in stand.results(stand.cut())]
    assert sorted(results) == [
        ("acme", "auth/3@1"), ("acme", "auth/3@2"), ("counted", "auth/3@2"), ("nobody", "auth/3@0"),
    ]  # fmt: skip


def test_a_condition_that_holds_in_silence_reads_the_tenant_after_a_restart() -> None:
    stand = desk("""lasting: {when: 'tenant == "acme"', for: 5s, agent: none}""")
    stand.feed(stand.event(1, whose="acme"))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(20, host="other"))
    assert tenants(stand, stand.cut(), "lasting") == ["acme"]


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_tenant_survives_a_restart(snapshot: bool) -> None:  # a parameter of the test
    stand = desk(EVERY)
    stand.feed(stand.event(1, whose="acme"))
    stand.cut()
    if snapshot:
        stand.snapshot(0, 1)
        stand.trim()
    stand.reopen()
    stand.feed(stand.event(2))
    assert tenants(stand, stand.cut(), "every_event") == ["acme"]


def test_a_forgotten_key_has_no_tenant() -> None:
    stand = desk(EVERY)
    stand.feed(stand.event(1, whose="acme"), stand.event(9_000, host="other"), stand.event(9_000))
    assert tenants(stand, stand.cut(), "every_event") == ["acme", None, None]


def test_a_key_that_comes_back_within_one_commit_has_its_new_tenant_after_a_restart() -> None:
    stand = desk(EVERY)
    stand.feed(stand.event(1, whose="acme"), stand.event(9_000, host="other"), stand.event(9_000, whose="globex"))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(9_001))
    assert tenants(stand, stand.cut(), "every_event") == ["globex"]


def test_a_late_event_tells_only_a_key_whose_it_is_that_does_not_know() -> None:
    stand = desk("late: {each: 'true', late: reason, agent: none}", watermark=WAITING)
    first = stand.event(100, whose="acme")
    stand.feed(first, stand.event(1, whose="globex"), stand.event(2, host="new", whose="initech"), stand.event(101))
    assert tenants(stand, stand.cut(), "late") == ["acme", "acme", "initech", "acme"]
    assert not stand.task.counters["tenant_changed", "auth"]


def test_events_that_no_key_keeps_say_nothing_of_it() -> None:
    text = FILE.replace("LATENESS", "ignore: event.v == 1, dedupe: {by: event.id, within: 1m}")
    stand = Stand(text.replace("TRIGGERS", f"  {EVERY}"))
    stand.feed(
        stand.event(1, whose="acme", id=1),
        stand.event(2, whose="globex", id=1),
        stand.event(3, whose="globex", id=3, v=1),
        stand.event(4, id=4),
    )
    assert tenants(stand, stand.cut(), "every_event") == ["acme", "acme"]


def test_steps_of_a_sequence_see_the_tenant_that_was_known_with_their_events() -> None:
    """Also where they wait for the watermark through a restart, and read an earlier step."""
    steps = "[{as: a, where: event.v == 1}, {as: b, where: 'event.v > a.v && tenant == \"acme\"'}]"
    stand = desk(f"both: {{sequence: {steps}, within: 1m, agent: none}}", watermark=WAITING)
    stand.feed(stand.event(1, whose="acme", v=1), stand.event(2, v=2))
    stand.cut()
    stand.reopen()
    stand.feed(stand.event(30))
    assert tenants(stand, stand.cut(), "both") == ["acme"]


def test_sources_without_the_word_leave_the_tenant_as_it_is() -> None:
    stand = Stand(
        FILE.replace("LATENESS", "watermark: {idle: never}").replace(
            "context", "  moves: {topic: moves, key: event.host, time: {at: event.t, unit: s}}\ncontext"
        ).replace("TRIGGERS", f"  {EVERY}")
    )  # fmt: skip
    stand.feed(stand.event(1, whose="acme"), stand.event(2, topic="moves", whose="globex"))
    assert tenants(stand, stand.cut(), "every_event") == ["acme", "acme"]
    assert not stand.task.counters["without_tenant", "moves"]


def test_each_source_has_an_expression_of_its_own() -> None:
    moves = "  moves: {topic: moves, key: event.host, time: {at: event.t, unit: s}, tenant: event.customer}\ncontext"
    text = FILE.replace("LATENESS", "watermark: {idle: never}").replace("context", moves)
    stand = Stand(text.replace("TRIGGERS", f"  {EVERY}"))
    stand.feed(stand.event(1, whose="acme"), stand.event(2, topic="moves", customer="globex"))
    assert tenants(stand, stand.cut(), "every_event") == ["acme", "globex"]


def test_a_row_is_looked_up_by_the_tenant() -> None:
    text = FILE.replace("LATENESS", "watermark: {idle: never}").replace(
        "triggers", "tables: {clients: {topic: cmdb}}\ntriggers"
    )
    annotations = "annotations: {tone: '{{ tables.clients[tenant].tone }}'}"
    trigger = f"  vip: {{each: 'tables.clients[tenant].vip == true', {annotations}, agent: none}}"
    stand = Stand(text.replace("TRIGGERS", trigger))
    stand.feed(stand.row("acme", vip=True, tone="formal"))
    stand.feed(stand.event(1), stand.event(2, whose="acme"), stand.event(3, host="other", whose="globex"))
    (result,) = stand.results(stand.cut())
    assert (result["tenant"], result["annotations"]) == ("acme", {"tone": "formal"})


def test_a_definition_without_the_word_forgets_the_tenants() -> None:
    stand = desk(EVERY)
    named = stand.plan
    stand.feed(stand.event(1, whose="acme"))
    stand.cut()
    stand.reopen(plan_of(FILE.replace(", tenant: event.whose, LATENESS", "").replace("TRIGGERS", f"  {EVERY}")))
    stand.feed(stand.event(2, whose="globex"))
    cut = stand.cut("opened")
    assert tenants(stand, cut, "every_event") == [None]
    for at in (3, 4):
        stand.reopen(named)
        stand.feed(stand.event(at))
        assert tenants(stand, stand.cut("opened"), "every_event") == [None]


# --- runs with a model ------------------------------------------------------------------------------------------------


def asked(stand: Stand, **fields: Any) -> Ask:
    (ask,) = stand.feed(stand.event(1, **fields))
    assert isinstance(ask, Ask)
    return ask


def test_a_call_has_a_cache_of_its_tenant_and_of_nobody_else() -> None:
    salts = [asked(Stand(ASKING), whose=whose).request.cache_salt for whose in ("acme", "acme", "globex", "", None)]
    assert salts[0] == salts[1] == cache_salt("acme")
    assert len(set(salts)) == 4
    assert salts[4] is None
    assert all(salts[:4]), "a server refuses an empty one"
    assert "acme" not in str(salts[0])


def test_what_follows_an_answer_is_of_the_tenant_of_its_run() -> None:
    """The key has another tenant by the time that the answer comes."""
    stand = Stand(ASKING)
    ask = asked(stand, whose="acme")
    assert ask.request.messages[-1].content.endswith("For acme?")
    stand.feed(stand.event(2, whose="globex"))
    stand.task.feed(Answered(ask.call_id, '{"ok": true}', "stop", Usage()))
    results = stand.results(stand.cut())
    assert [(result["triggers"], result["tenant"]) for result in results] == [
        (["asked"], "acme"),
        (["followed"], "acme"),
    ]
    assert results[1]["annotations"] == {"whose": "acme"}


def test_the_tenant_of_a_run_under_way_survives_a_restart() -> None:
    stand = Stand(ASKING)
    asked(stand, whose="acme")
    stand.cut()
    (again,) = stand.reopen()
    assert isinstance(again, Ask)
    assert again.request.cache_salt == cache_salt("acme")
