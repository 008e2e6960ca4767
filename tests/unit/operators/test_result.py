from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from penstock.operators.dead import dead_letter
from penstock.operators.error import TooNew
from penstock.operators.event import Usage
from penstock.operators.record import DeadLetter, Record
from penstock.operators.result import SCHEMA_VERSION, ResultPlan, identity_of, read_result, result_outputs
from penstock.operators.run import (
    CallEntry,
    Cause,
    Degradation,
    Firing,
    RecordCause,
    Run,
    State,
    TimerCause,
    carried,
    run_id,
)
from penstock.operators.view import View

PLAN = ResultPlan("ssh-watch", "dev", "a1b2c3d", "sha256:3b1f0123456789abcdef", "ssh-results", "ssh-partials")


def finished_run(**firing: Any) -> Run:
    facts = {
        "run": "3-9f2c", "trigger": "brute_force", "agent": "investigate", "key": "LabSZ", "at": 1_795_252_447_250,
        "cause": "auth/0@1841", "condition": "failures >= 20", "values": {"failures": 23},
        "labels": {"team": "secops", "severity": "critical"}, "annotations": {"summary": "23 failed logins"},
        "episode": "3-9f2c/episode", **firing,
    }  # fmt: skip
    return Run(
        firing=Firing(**facts),
        view=View(100, 281, 1_795_252_440_000, 1_795_252_447_250, ""),
        version="a1b2c3d",
        definition=PLAN.definition,
        phase="done",
        attempt=2,
        rev=4,
        answer={"verdict": "attack", "why": "…"},
        calls=[
            CallEntry("small", 1, "failed", "connection refused", Usage(), Decimal(0)),
            CallEntry("large", 2, "answered", None, Usage(5210, 4864, 143), Decimal("0.00031"), True),
        ],
        degraded=[Degradation("next_model", "small: connection refused")],
    )


def record(run: Run, state: State = "final") -> dict[str, Any]:
    value = result_outputs(run, PLAN, state)[0].value
    assert value is not None
    fields: dict[str, Any] = orjson.loads(value)
    return fields


def headers(run: Run, state: State = "final") -> dict[str, str]:
    return {name: value.decode() for name, value in result_outputs(run, PLAN, state)[0].headers}


def test_the_whole_record_byte_by_byte() -> None:
    value = result_outputs(finished_run(), PLAN, "final")[0].value
    assert value is not None
    assert value.decode() == (
        '{"schema":"penstock.result/1","pipeline":"ssh-watch","version":"a1b2c3d",'
        '"definition":"sha256:3b1f0123456789abcdef","run":"3-9f2c","rev":4,"attempt":2,"state":"final","reason":null,'
        '"agent":"investigate","key":"LabSZ","by":null,"tenant":null,'
        '"episode":{"id":"3-9f2c/episode","status":"firing","starts_at":"2026-11-21T09:14:07.250Z","ends_at":null},'
        '"triggers":["brute_force"],"labels":{"team":"secops","severity":"critical"},'
        '"annotations":{"summary":"23 failed logins"},"answer":{"verdict":"attack","why":"…"},"text":null,'
        '"why":{"fired_by":"auth/0@1841","condition":"failures >= 20","by":null,"values":{"failures":23},"events":182,'
        '"from":"2026-11-21T09:14:00.000Z","to":"2026-11-21T09:14:07.250Z","route":['
        '{"model":"small","attempt":1,"outcome":"failed","because":"connection refused","simulated":false,'
        '"input_tokens":0,"cached_input_tokens":0,"output_tokens":0,"cost":0.0},'
        '{"model":"large","attempt":2,"outcome":"answered","because":null,"simulated":true,'
        '"input_tokens":5210,"cached_input_tokens":4864,"output_tokens":143,"cost":0.00031}],"inhibited_by":null,"withdrawn":null},'
        '"usage":{"calls":2,"input_tokens":5210,"cached_input_tokens":4864,"output_tokens":143,"cost":0.00031,'
        '"currency":null},'
        '"degraded":[{"step":"next_model","because":"small: connection refused","would_have_cost":null}],'
        '"simulated":true,"end":false,"supersedes":null,"corrects":null}'
    )


def test_the_headers_are_cloudevents_in_binary_mode() -> None:
    assert headers(finished_run()) == {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": "3-9f2c/4",
        "ce_source": "/penstock/dev/ssh-watch",
        "ce_type": "penstock.final.v1",
        "ce_time": "2026-11-21T09:14:07.250Z",
        "ce_causationid": "auth/0@1841",
        "ce_subject": "LabSZ",
        "ce_dataschema": "urn:penstock:ssh-watch:investigate:3b1f01234567",
        "ce_correlationid": "3-9f2c/episode",
        "ce_severitytext": "critical",
        "ce_severitynumber": "21",
    }


def test_the_cloudevents_library_reads_what_we_write() -> None:
    output = result_outputs(finished_run(), PLAN, "final")[0]
    event = from_kafka_event(KafkaMessage(headers=dict(output.headers), key=output.key, value=output.value or b""))
    assert (event.get_id(), event.get_type(), event.get_subject()) == ("3-9f2c/4", "penstock.final.v1", "LabSZ")
    assert event.get_extension("severitynumber") == "21"
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["schema"] == "penstock.result/1"


def test_headers_that_say_nothing_are_left_out() -> None:
    bare = headers(finished_run(agent=None, key="", episode=None, labels={"severity": "whatever"}))
    assert not bare.keys() & {"ce_subject", "ce_dataschema", "ce_correlationid", "ce_severitytext", "ce_severitynumber"}


def test_an_outcome_goes_to_both_topics_and_a_partial_to_one() -> None:
    run = finished_run()
    outcome = result_outputs(run, PLAN, "final")
    assert [(output.topic, output.id, output.key) for output in outcome] == [
        ("ssh-results", "3-9f2c/4", b"LabSZ"),
        ("ssh-partials", "3-9f2c/4", b"LabSZ"),
    ]
    assert outcome[0].value == outcome[1].value
    assert outcome[0].headers == outcome[1].headers
    assert [output.topic for output in result_outputs(run, PLAN, "partial")] == ["ssh-partials"]


def test_resolved_says_when_the_episode_ended_and_an_outcome_before_it_does_not() -> None:
    run = finished_run()
    run.ends_at = 1_795_252_500_000
    assert record(run)["episode"]["ends_at"] is None
    assert record(run, "resolved")["episode"] == {
        "id": "3-9f2c/episode",
        "status": "resolved",
        "starts_at": "2026-11-21T09:14:07.250Z",
        "ends_at": "2026-11-21T09:15:00.000Z",
    }
    assert headers(run, "resolved")["ce_type"] == "penstock.resolved.v1"


def test_a_firing_without_agent_costs_nothing_and_has_no_attempt() -> None:
    run = Run(firing=finished_run(agent=None).firing, view=View(0, -1, None, None, ""), version="", definition="")
    fields = record(run)
    assert (fields["attempt"], fields["answer"], fields["simulated"]) == (None, None, False)
    assert fields["why"]["events"] == 0
    assert fields["why"]["from"] is None
    assert fields["usage"]["cost"] == 0.0


def test_cost_is_unknown_as_soon_as_one_call_has_no_price() -> None:
    run = finished_run()
    run.calls.append(CallEntry("other", 3, "answered", None, Usage(1, 0, 1), None))
    assert record(run)["usage"]["cost"] is None
    assert [entry["cost"] for entry in record(run)["why"]["route"]] == [0.0, 0.00031, None]


def test_costs_are_summed_exactly_and_rounded_once() -> None:
    run = finished_run()
    run.calls = [CallEntry("m", 1, "answered", None, Usage(), Decimal("0.0000000004")) for _ in range(10)]
    assert record(run)["usage"]["cost"] == 0.000000004


def test_run_ids_follow_from_the_cause_and_begin_with_the_partition() -> None:
    cause = RecordCause("auth-log", 0, 0, 1841)
    first = run_id(3, "ssh-watch", "brute_force", "LabSZ", cause)
    assert first == run_id(3, "ssh-watch", "brute_force", "LabSZ", cause)
    assert first.startswith("3-")
    others: list[Cause] = [
        cause._replace(offset=1842), cause._replace(generation=1), cause._replace(topic="auth"), TimerCause(1841),
    ]  # fmt: skip
    assert len({first, *(run_id(3, "ssh-watch", "brute_force", "LabSZ", other) for other in others)}) == 5
    assert run_id(0, "p", "ab", "c", cause) != run_id(0, "p", "a", "bc", cause)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": [1, 2**64 - 1, -(2**63)]}, {"a": [1, 2**64 - 1, -(2**63)]}),
        (2**64, float(2**64)),
        (10**400, str(10**400)),
        ((True, None), [True, None]),
    ],
)
def test_numbers_that_no_record_can_carry_become_ones_that_it_can(value: Any, kept: Any) -> None:
    assert carried(value) == kept


def test_who_wrote_a_record_and_its_id_are_read_back_from_its_headers() -> None:
    for output in result_outputs(finished_run(), PLAN, "final"):
        assert identity_of(output.headers) == ("/penstock/dev/ssh-watch", output.id)


def test_a_dead_letter_has_not_the_identity_of_the_record_that_died() -> None:
    (output, _) = result_outputs(finished_run(), PLAN, "final")
    died = Record("ssh-results", 3, 7, 0, output.key, output.value, output.headers)
    assert identity_of(dead_letter(died, DeadLetter("undecodable", "no JSON"), "dead").headers) is None
    assert identity_of((("ce_id", b"1"),)) is None


def written(value: dict[str, Any]) -> Record:
    return Record("ssh-results", 3, 7, 0, b"LabSZ", orjson.dumps(value))


def test_what_is_written_can_be_read() -> None:
    for output in result_outputs(finished_run(), PLAN, "final"):
        record = read_result(Record(output.topic, 3, 7, 0, output.key, output.value))
        assert record["schema"] == f"penstock.result/{SCHEMA_VERSION}"
        assert record["run"] == "3-9f2c"


def test_a_record_of_a_newer_schema_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(TooNew) as refusal:
        read_result(written({"schema": f"penstock.result/{SCHEMA_VERSION + 1}", "run": {}}))
    assert refusal.value.exit_code == 4
    assert str(refusal.value) == (
        "ssh-results/3@7: the record has the schema penstock.result/2, this version of Penstock knows up to "
        "penstock.result/1 (run the version that wrote it, or a newer one)"
    )


@pytest.mark.parametrize("schema", [{}, {"schema": "penstock.result/1"}, {"schema": "mine"}, {"schema": None}])
def test_a_record_that_names_no_newer_schema_is_read(schema: dict[str, Any]) -> None:
    assert read_result(written({**schema, "run": "r"}))["run"] == "r"
