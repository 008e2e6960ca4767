"""Recorded answers: what the runs of a former time were answered, given to the same firings again, when they ask.

A firing is found by its run id, else by trigger, key, part and time: offsets of a recording are seldom those of the topic that
it was made of. What is read are lines of the results topic (`penstock tail --json`), or of a former `firings.jsonl`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from penstock.operators.agent_plan import AgentPlan
from penstock.operators.answer import Unusable
from penstock.operators.error import Rejected
from penstock.operators.event import Answered, Ask, CallLost, Usage
from penstock.operators.timestamp import instant
from penstock.pipelines.backtest_row import ASKED, Asked, Row, Used, route_of, used_of
from penstock.pipelines.recording import recorded_lines

UNUSABLE = "unusable"
"""The state of a run whose recorded answer is none by the file's present `answer`."""
Place = tuple[str, str, str | None, int]


class Recorded(msgspec.Struct):
    """One outcome of a former time."""

    state: str
    reason: str | None
    answer: dict[str, Any] | None
    text: str | None
    usage: Used
    route: list[Asked]
    degraded: list[str]


class Answers:
    """Outcomes by run, and by place."""

    def __init__(self) -> None:
        self.by_run: dict[str, Recorded] = {}
        self.by_place: dict[Place, deque[Recorded]] = {}

    def take(self, run: str, place: Place) -> Recorded | None:
        """Of several with one place each is given out once, in order."""
        found = self.by_run.get(run)
        if found is None and (waiting := self.by_place.get(place)):
            return waiting.popleft()
        return found


def load_answers(path: Path) -> Answers:
    """Raises Rejected where a line is no result."""
    answers = Answers()
    for number, line in recorded_lines(path):
        try:
            _add(answers, _result(orjson.loads(line)))
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, msgspec.ValidationError) as error:
            raise Rejected(
                f"is no result: {type(error).__name__}: {error}",
                where=f"{path}:{number}",
                remedy="give --recorded lines of `penstock tail --json`, or the firings.jsonl of a former backtest",
            ) from error
    return answers


def _result(said: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The result itself, with the time of its firing: what `tail` prints has it among the headers. None for a tombstone."""
    if "headers" not in said:
        return said
    value: Mapping[str, Any] | None = said["value"]
    return None if value is None else {**value, "at": said["headers"].get("ce_time")}


def _add(answers: Answers, record: Mapping[str, Any] | None) -> None:
    """Of results only outcomes count: a partial is not one yet, and the end of an episode none of its own."""
    if record is None or record["state"] in ("partial", "resolved", ASKED):
        return
    usage = {name: record["usage"][name] for name in Used.__struct_fields__ if name in record["usage"]}
    route = record["route"] if "route" in record else record.get("why", {}).get("route", ())
    found = Recorded(
        record["state"],
        record["reason"],
        record["answer"],
        record["text"],
        msgspec.convert(usage, Used),
        msgspec.convert(msgspec.to_builtins(route_of(route)), list[Asked]),
        [each if isinstance(each, str) else each["step"] for each in record.get("degraded", ())],
    )
    answers.by_run[record["run"]] = found
    at = instant(record["at"]) if record.get("at") else None
    if at is not None:
        trigger = record["trigger"] if "trigger" in record else record["triggers"][0]
        answers.by_place.setdefault((trigger, record["key"], record["by"], at), deque()).append(found)


class Given(NamedTuple):
    """What a run is answered, and what its row says of it. Without `text` its call is lost, because of `reason`."""

    text: str | None
    state: str
    reason: str | None
    found: Recorded
    route: list[Asked]

    def put(self, row: Row) -> None:
        """With the tokens of then at the prices of now."""
        found = self.found
        row.state, row.reason, row.answer, row.text = self.state, self.reason, found.answer, found.text
        row.degraded, row.route = found.degraded, self.route
        row.usage = msgspec.structs.replace(
            used_of(self.route, estimated=found.usage.estimated), calls=found.usage.calls
        )


def give(agent: AgentPlan, found: Recorded) -> Given:
    """By the file's present `answer`: one that it does not allow any more is unusable."""
    route = [_priced(agent, asked) for asked in found.route or _as_one(agent, found.usage)]
    text = found.text if found.answer is None else orjson.dumps(found.answer).decode()
    if agent.shape is not None and text is not None:
        read = agent.shape.parse(text, "stop")
        if isinstance(read, Unusable):
            return Given(None, UNUSABLE, read.reason, found, route)
    return Given(text, found.state, found.reason, found, route)


def replied(ask: Ask, given: Given) -> Answered | CallLost:
    if given.text is None:
        return CallLost(ask.call_id, "invalid", given.reason or given.state)
    return Answered(ask.call_id, given.text, "stop", Usage())


def _as_one(agent: AgentPlan, used: Used) -> list[Asked]:
    """Of a result that does not tell its calls."""
    tokens = {name: getattr(used, name) for name in ("input_tokens", "cached_input_tokens", "output_tokens")}
    return [Asked(model=agent.endpoints[0].name, **tokens)] if used.calls else []


def _priced(agent: AgentPlan, asked: Asked) -> Asked:
    """At the price that its model has now; one that is gone is taken for the first."""
    endpoint = next((each for each in agent.endpoints if each.name == asked.model), agent.endpoints[0])
    usage = Usage(asked.input_tokens, asked.cached_input_tokens, asked.output_tokens)
    cost = None if endpoint.price is None else float(endpoint.price.cost(usage))
    return msgspec.structs.replace(asked, model=endpoint.name, cost=cost)
