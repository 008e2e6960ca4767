"""Whose a key is, worked out from the list of records, and the same however it is committed and restarted.

whose     acme   –      globex   –         tenant, event by event: acme, acme, globex, globex
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from tests.oracle.deployment import AT_ONCE, Deed, Deployment, any_deeds
from tests.oracle.product import PARTITION, TOPIC, plan_of

from penstock.operators.event import Ask
from penstock.operators.record import Record

PLAN = plan_of("""
penstock: v1
name: whose
sources:
  in:
    topic: in
    key: event.key
    time: {at: event.t, unit: s}
    tenant: event.whose
    watermark: {delay: 2s, idle: never, lateness: 3s}
triggers:
  every: {each: 'true', agent: none}
  acme: {each: 'tenant == "acme"', agent: none}
  counted: {when: 'count(tenant == "acme", 7s) >= 2', cooldown: 1s, agent: none}
  lasting: {when: 'tenant == "acme"', for: 3s, cooldown: 0s, agent: none}
  parted: {when: 'tenant == "acme" && count(true, 5s) >= 1', for: 2s, by: event.x, cooldown: 0s, agent: none}
  silent: {absence: tenant != null, for: 4s, agent: none}
  late: {each: 'tenant == "acme"', late: reason, agent: none}
  two: {any: [lasting, silent], agent: none}
  steps:
    sequence: [{as: one, where: 'event.x == "a"'}, {as: then, where: 'event.x != one.x && tenant == "acme"'}]
    within: 9s
    agent: none
""")
DELAY, LATENESS = 2, 3

Told = tuple[str, int, str | None, str]
"""Key, event time in seconds, whose it says to be, `x`."""


class Deployed(Deployment):
    def _said(self, ask: Ask) -> dict[str, Any]:
        raise AssertionError("no model is asked")


@st.composite
def any_told(draw: st.DrawFn) -> list[Told]:
    told, time = [], 100
    for _ in range(draw(st.integers(2, 20))):
        time += draw(st.sampled_from([0, 1, 1, 2, 3, 6, -2, -9]))
        whose = draw(st.sampled_from(["acme", "acme", "globex", None]))
        told.append((draw(st.sampled_from("kkl")), time, whose, draw(st.sampled_from("aab"))))
    return told


def records_of(told: Sequence[Told]) -> list[Record]:
    return [
        Record(TOPIC, PARTITION, offset, 1000 * time, None, json.dumps(fields).encode())
        for offset, (key, time, whose, x) in enumerate(told)
        if (fields := {"key": key, "t": time, "x": x} | ({} if whose is None else {"whose": whose}))
    ]


def tenants(told: Sequence[Told]) -> Iterator[tuple[str | None, bool]]:
    """Of every event the tenant of its key, once it was fed, and whether it is late. All is gone through anew for each."""
    for place, (key, *_) in enumerate(told):
        known: str | None = None
        late = False
        for before in range(place + 1):
            at = told[before]
            late = any(at[1] < earlier[1] - DELAY - LATENESS for earlier in told[:before])
            if at[0] == key and at[2] is not None and (known is None or not late):
                known = at[2]
        yield known, late


def played(records: list[Record], deeds: list[Deed]) -> Deployed:
    deployment = Deployed(records)
    deployment.play(PLAN, deeds)
    return deployment


def fired(results: Sequence[dict[str, Any]], trigger: str) -> dict[int, str | None]:
    """By offset of the causing record, whose."""
    told = [each for each in results if each["triggers"] == [trigger] and each["state"] != "resolved"]
    return {int(each["why"]["fired_by"].rpartition("@")[2]): each["tenant"] for each in told}


@given(any_told(), any_deeds(answers_max=0))
def test_they_agree_on_whose_it_is(told: list[Told], deeds: list[Deed]) -> None:
    deployment, undisturbed = played(records_of(told), deeds), played(records_of(told), [AT_ONCE] * len(told))
    assert sorted(map(json.dumps, deployment.results)) == sorted(map(json.dumps, undisturbed.results))
    expected = dict(enumerate(tenants(told)))
    in_time = {place: whose for place, (whose, late) in expected.items() if not late}
    assert fired(deployment.results, "every") == in_time
    assert fired(deployment.results, "acme") == {place: whose for place, whose in in_time.items() if whose == "acme"}
    all_of_acme = {place: whose for place, (whose, _) in expected.items() if whose == "acme"}
    assert fired(deployment.results, "late") == all_of_acme
    for trigger in ("counted", "lasting", "parted", "silent", "two", "steps"):
        if any(each["triggers"] == [trigger] for each in deployment.results):
            event(f"{trigger} fires")
