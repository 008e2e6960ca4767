"""The records that leave Penstock: `penstock.result/1` as JSON with CloudEvents 1.0 headers (Kafka binding, binary mode).

Every field is always there, null where it does not apply, in one order. Nothing in a record depends on the wall clock, so a
commit that is repaired writes the same bytes again. docs/results.md describes it for consumers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from penstock.operators.dead import REASON as DEAD_REASON
from penstock.operators.error import TooNew
from penstock.operators.instant import iso_text
from penstock.operators.record import Headers, Output, Raw, coordinates
from penstock.operators.run import CallEntry, Run, State

SCHEMA_VERSION = 1
SCHEMA = f"penstock.result/{SCHEMA_VERSION}"
FIELDS = (
    "schema", "pipeline", "version", "definition", "run", "rev", "attempt", "state", "reason", "agent", "key", "by",
    "tenant", "episode", "triggers", "labels", "annotations", "answer", "text", "why", "usage", "degraded", "simulated",
    "end", "supersedes", "corrects",
)  # fmt: skip
"""Of every record, in the order in which they are written."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "episode": ("id", "status", "starts_at", "ends_at"),
    "why": ("fired_by", "condition", "by", "values", "events", "from", "to", "route", "inhibited_by", "withdrawn"),
    "usage": ("calls", "input_tokens", "cached_input_tokens", "output_tokens", "cost", "currency"),
}
"""Of those fields that are maps and have the same parts in every record."""
SEVERITIES: Mapping[str, int] = {
    "trace": 1, "debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21,
}  # fmt: skip
"""Values of the label `severity` and their numbers in OpenTelemetry's scale."""
_COST_PLACES = Decimal("1e-9")
_DEFINITION_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class ResultPlan:
    """What every record of one pipeline says about it, and the topics that they go to."""

    pipeline: str
    namespace: str
    version: str
    definition: str
    """`sha256:…` of the resolved file."""
    results: str
    partials: str
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LatestPlan:
    """A compacted topic of what is the case. `keep` is how long (ms of event time) a case stays after its end."""

    topic: str
    keep: int

    @property
    def identity(self) -> str:
        """The name of the cells that say what stands on this topic. No trigger has a name with a blank in it."""
        return f"latest of {self.topic}"


def result_outputs(run: Run, plan: ResultPlan, state: State) -> tuple[Output, ...]:
    """The record of the run as it stands, revision `run.rev`: partials to the partials topic, everything else to both.

    What goes to the results topic comes first.
    """
    identity = f"{run.id}/{run.rev}"
    value = orjson.dumps(result_record(run, plan, state))
    key, headers = run.key.encode(), _headers(run, plan, state, identity)
    topics = (plan.partials,) if state == "partial" else (plan.results, plan.partials)
    return tuple(Output(identity, topic, key, value, headers) for topic in topics)


def result_record(run: Run, plan: ResultPlan, state: State) -> dict[str, Any]:
    """The fields in the order in which they are written."""
    firing = run.firing
    return {
        "schema": SCHEMA,
        "pipeline": plan.pipeline,
        "version": run.version,
        "definition": run.definition,
        "run": run.id,
        "rev": run.rev,
        "attempt": run.attempt or None,
        "state": state,
        "reason": run.reason,
        "agent": firing.agent,
        "key": firing.key,
        "by": firing.part,
        "tenant": firing.tenant,
        "episode": _episode(run, state),
        "triggers": [firing.trigger],
        "labels": firing.labels,
        "annotations": firing.annotations,
        "answer": run.answer,
        "text": run.text,
        "why": _why(run),
        "usage": _usage(run.calls, plan.currency),
        "degraded": [{"step": entry.step, "because": entry.because, "would_have_cost": None} for entry in run.degraded],
        "simulated": run.simulated or any(call.simulated for call in run.calls),
        "end": firing.end,
        "supersedes": None,
        "corrects": None if firing.corrects is None else firing.corrects.run,
    }


def read_result(raw: Raw) -> dict[str, Any]:
    """The fields of a record as it was written. Raises TooNew if what they mean is not known to this version."""
    record: dict[str, Any] = orjson.loads(raw.value or b"{}")
    version = str(record.get("schema", SCHEMA)).rpartition("/")[2]
    if version.isdecimal() and int(version) > SCHEMA_VERSION:
        raise TooNew(
            f"the record has the schema {record['schema']}, this version of Penstock knows up to {SCHEMA}",
            where=coordinates(raw),
            remedy="run the version that wrote it, or a newer one",
        )
    return record


def _episode(run: Run, state: State) -> dict[str, Any] | None:
    firing = run.firing
    if firing.episode is None:
        return None
    over = state == "resolved" and run.ends_at is not None
    return {
        "id": firing.episode,
        "status": "resolved" if over else "firing",
        "starts_at": iso_text(firing.at),
        "ends_at": _iso_or_none(run.ends_at if over else None),
    }


def _why(run: Run) -> dict[str, Any]:
    firing, view = run.firing, run.view
    return {
        "fired_by": firing.cause,
        "condition": firing.condition,
        "by": firing.by,
        "values": firing.values,
        "events": view.events,
        "from": _iso_or_none(view.from_time),
        "to": _iso_or_none(view.to_time),
        "route": [_route_entry(call) for call in run.calls],
        "inhibited_by": list(run.inhibited_by) or None,
        "withdrawn": None if firing.corrects is None else firing.corrects.withdrawn,
    }


def _route_entry(call: CallEntry) -> dict[str, Any]:
    return {
        "model": call.model,
        "attempt": call.attempt,
        "outcome": call.outcome,
        "because": call.because,
        "simulated": call.simulated,
        "input_tokens": call.usage.input_tokens,
        "cached_input_tokens": call.usage.cached_input_tokens,
        "output_tokens": call.usage.output_tokens,
        "cost": _money([call.cost]),
    }


def _usage(calls: Sequence[CallEntry], currency: str | None) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "input_tokens": sum(call.usage.input_tokens for call in calls),
        "cached_input_tokens": sum(call.usage.cached_input_tokens for call in calls),
        "output_tokens": sum(call.usage.output_tokens for call in calls),
        "cost": _money([call.cost for call in calls]),
        "currency": currency,
    }


def _money(costs: Sequence[Decimal | None]) -> float | None:
    """The exact sum, rounded once; unknown as soon as one part is."""
    known = [cost for cost in costs if cost is not None]
    return float(sum(known, Decimal()).quantize(_COST_PLACES)) if len(known) == len(costs) else None


def _iso_or_none(ms: int | None) -> str | None:
    return None if ms is None else iso_text(ms)


def source_of(namespace: str, pipeline: str) -> str:
    """Who writes these records: the attribute `source` of all of them."""
    return f"/penstock/{namespace}/{pipeline}"


def identity_of(headers: Sequence[tuple[str, bytes]]) -> tuple[str, str] | None:
    """Source and id of a record that was written as one of these, by whatever pipeline; the id is that of its `Output`.

    None for anything else, also for a dead letter: the headers of the dead record stand there as they were.
    """
    values = dict(headers)
    if DEAD_REASON in values or "ce_source" not in values or "ce_id" not in values:
        return None
    return values["ce_source"].decode("utf-8", "replace"), values["ce_id"].decode("utf-8", "replace")


def _headers(run: Run, plan: ResultPlan, state: State, identity: str) -> Headers:
    firing = run.firing
    headers = {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": source_of(plan.namespace, plan.pipeline),
        "ce_type": f"penstock.{state}.v1",
        "ce_time": iso_text(firing.at),
        "ce_causationid": firing.cause,
    }
    if firing.key:
        headers["ce_subject"] = firing.key
    if firing.agent is not None:
        definition = run.definition.removeprefix("sha256:")[:_DEFINITION_CHARACTERS]
        headers["ce_dataschema"] = f"urn:penstock:{plan.pipeline}:{firing.agent}:{definition}"
    episode = firing.correlation
    if episode is not None:
        headers["ce_correlationid"] = episode
    severity = firing.labels.get("severity", "")
    if severity in SEVERITIES:
        headers["ce_severitytext"] = severity
        headers["ce_severitynumber"] = str(SEVERITIES[severity])
    return tuple((name, text.encode()) for name, text in headers.items())
