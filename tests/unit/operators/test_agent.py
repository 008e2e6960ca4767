from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pytest
from msgspec.structs import replace

from penstock.operators.agent import (
    NEXT,
    Action,
    Publish,
    feed_run,
    finished,
    has_outcome,
    open_run,
    reopen_run,
    request_of,
    resolve_run,
    start_run,
)
from penstock.operators.agent_plan import AgentPlan, AgentSettings, build_agent
from penstock.operators.context import Context, ContextSettings
from penstock.operators.event import Answered, Ask, CallLost, FailureKind, Streamed, Usage
from penstock.operators.model import ModelSettings
from penstock.operators.result import ResultPlan
from penstock.operators.run import Firing, Run

GOOD = '{"verdict": "attack", "why": "many failures"}'
PRICE = {"input": 1, "output": 2}
RESULTS = ResultPlan("ssh-watch", "dev", "1", "sha256:00", "results", "partials", "USD")


def no_files(path: str) -> str:
    raise AssertionError(f"{path} is not named by these settings")


@dataclass(frozen=True)
class Pipeline:
    """What runs need of a plan."""

    agents: Mapping[str, AgentPlan]
    results: ResultPlan = RESULTS
    absence: str = "there is no such agent"


def pipeline(models: int = 1, **changed: Any) -> Pipeline:
    settings = {
        "ask": "Is {{ key }} under attack?", "partials": {"every": "250ms"},
        "answer": {"verdict": {"enum": ["attack", "benign"]}, "why": {"type": "string"}}, **changed,
    }  # fmt: skip
    served = {
        f"m{number}": ModelSettings.model_validate(
            {"base_url": "http://localhost/v1", "model": "org/m", "price": PRICE}
        )
        for number in range(models)
    }
    return Pipeline({"judge": build_agent("judge", AgentSettings.model_validate(settings), served, no_files)})


class Bench:
    """One run of one key, and everything that came of it."""

    def __init__(self, plan: Pipeline, **firing: Any) -> None:
        self.plan, self.context = plan, Context(ContextSettings.model_validate({"window": {"events": 4}}))
        for number in range(3):
            self.context.append(number, b'{"n":%d}' % number, number)
        facts = {
            "run": "0-ab", "trigger": "t", "agent": "judge", "key": "host", "at": 2, "cause": "auth/0@2",
            "condition": "n >= 2", **firing,
        }  # fmt: skip
        self.run = open_run(Firing(**facts), plan, self.context, 2)
        self.asks: list[Ask] = []
        self.published: list[Publish] = []

    def take(self, actions: list[Action]) -> Bench:
        """Every step goes through the log's encoding, so every phase is shown to survive it."""
        for action in actions:
            if isinstance(action, Ask):
                self.asks.append(action)
            elif isinstance(action, Publish):
                self.published.append(action)
        self.run = msgspec.msgpack.decode(msgspec.msgpack.encode(self.run), type=Run)
        return self

    def start(self) -> Bench:
        return self.take(start_run(self.run, self.plan, self.context))

    def streamed(self, text: str) -> Bench:
        return self.feed(Streamed(self.asks[-1].call_id, text))

    def answered(self, text: str, finish: str = "stop", **fields: Any) -> Bench:
        usage = Usage(100, 60, 10)
        return self.feed(Answered(self.asks[-1].call_id, text, finish, usage, **fields))

    def lost(self, kind: FailureKind = "failed", message: str = "connection refused", **fields: Any) -> Bench:
        return self.feed(CallLost(self.asks[-1].call_id, kind, message, **fields))

    def feed(self, event: Streamed | Answered | CallLost) -> Bench:
        return self.take(feed_run(self.run, event, self.plan, self.context))

    def reopen(self, *, continues: bool = False) -> Bench:
        return self.take(reopen_run(self.run, self.plan, self.context, lambda *about: continues))

    def resolve(self, at: int = 9, because: str | None = None) -> Bench:
        return self.take(resolve_run(self.run, at, self.plan, because))

    @property
    def states(self) -> list[str]:
        return [publish.state for publish in self.published]

    def record(self, index: int = -1) -> dict[str, Any]:
        value = self.published[index].outputs[0].value
        assert value is not None
        fields: dict[str, Any] = orjson.loads(value)
        return fields

    @property
    def route(self) -> list[tuple[str, str]]:
        return [(entry["model"], entry["outcome"]) for entry in self.record()["why"]["route"]]


def test_an_answer_that_fits_is_the_outcome() -> None:
    bench = Bench(pipeline()).start().answered(GOOD)
    assert bench.states == ["final"]
    record = bench.record()
    assert record["answer"] == {"verdict": "attack", "why": "many failures"}
    assert (record["rev"], record["attempt"], record["degraded"]) == (1, 1, [])
    assert record["usage"] == {
        "calls": 1, "input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 10, "cost": 0.00012, "currency": "USD",
    }  # fmt: skip
    assert has_outcome(bench.run)
    assert finished(bench.run)


def test_the_question_goes_to_the_first_model_with_everything_it_needs() -> None:
    ask = Bench(pipeline(models=2, limits={"time": "5s", "tokens": 77})).start().asks[0]
    assert (ask.run, ask.key, ask.endpoint, ask.time_limit, ask.partial_every) == ("0-ab", "host", "m0", 5000, 250)
    assert ask.request.parameters["max_tokens"] == 77
    assert ask.request.schema is not None
    assert ask.request.messages[-1].content.endswith("\n\nIs host under attack?")


def test_a_request_is_named_after_its_run_and_attempt() -> None:
    bench = Bench(pipeline(), run="0-ab").start()
    assert bench.asks[0].request.request_id == "0-ab.1"
    assert bench.answered("nonsense").asks[1].request.request_id == "0-ab.2"


def test_a_call_id_belongs_to_the_question() -> None:
    one, same = Bench(pipeline()).start().asks[0].call_id, Bench(pipeline()).start().asks[0].call_id
    assert one == same
    assert one != Bench(pipeline(), run="0-cd").start().asks[0].call_id
    assert one != Bench(pipeline(ask="Well?")).start().asks[0].call_id


def test_an_unusable_answer_is_repaired_once_and_keeps_the_prefix() -> None:
    bench = Bench(pipeline()).start().answered("I think so.").answered(GOOD)
    first, second = bench.asks
    assert second.request.messages[: len(first.request.messages)] == first.request.messages
    assert second.request.messages[-2].content == "I think so."
    assert second.call_id != first.call_id
    assert bench.states == ["final"]
    assert bench.route == [("m0", "unusable"), ("m0", "answered")]
    assert bench.record()["why"]["route"][0]["because"] == "it holds no JSON object"
    assert (bench.record()["attempt"], bench.record()["degraded"]) == (2, [])
    assert bench.record()["usage"]["calls"] == 2


def test_a_second_unusable_answer_ends_in_the_labelled_fallback() -> None:
    fallback = {"verdict": "benign", "why": "nobody knows"}
    bench = Bench(pipeline(models=2, fallback=fallback)).start().answered("").answered('{"verdict": "att', "length")
    assert len(bench.asks) == 2
    assert bench.states == ["final"]
    assert bench.record()["answer"] == fallback
    assert bench.record()["degraded"] == [
        {
            "step": "fallback",
            "because": "the answer was not usable: it was cut before the JSON object ended",
            "would_have_cost": None,
        }
    ]


def test_without_a_fallback_the_run_fails_and_says_why() -> None:
    bench = Bench(pipeline()).start().answered("").answered("")
    assert bench.states == ["failed"]
    assert bench.record()["reason"] == "the answer was not usable: it was empty"
    assert bench.record()["answer"] is None


@pytest.mark.parametrize("kind", ["failed", "invalid", "timed_out"])
def test_a_lost_call_goes_to_the_next_model_and_says_so(kind: FailureKind) -> None:
    bench = Bench(pipeline(models=2)).start().lost(kind).answered(GOOD)
    assert [ask.endpoint for ask in bench.asks] == ["m0", "m1"]
    assert bench.asks[1].request.messages == bench.asks[0].request.messages
    assert bench.route == [("m0", kind), ("m1", "answered")]
    assert bench.record()["degraded"] == [
        {"step": "next_model", "because": "m0: connection refused", "would_have_cost": None}
    ]


def test_when_every_model_is_lost_the_run_fails() -> None:
    bench = Bench(pipeline(models=2)).start().lost().lost(message="503")
    assert bench.states == ["failed"]
    assert bench.record()["reason"] == "m1: 503"


def test_a_lost_repair_asks_the_next_model_the_question_itself() -> None:
    bench = Bench(pipeline(models=2)).start().answered("no").lost().answered(GOOD)
    assert bench.asks[2].request.messages == bench.asks[0].request.messages
    assert bench.states == ["final"]


def test_there_is_one_repair_per_run_whoever_answered() -> None:
    bench = Bench(pipeline(models=2)).start().answered("no").lost().answered("no")
    assert len(bench.asks) == 3
    assert bench.states == ["failed"]


def test_the_time_of_a_run_is_shared_by_its_calls() -> None:
    bench = Bench(pipeline(models=2, limits={"time": "10s"})).start().answered("no", spent=4000)
    assert bench.asks[1].time_limit == 6000
    bench.lost("timed_out", "no complete answer", spent=5500)
    assert bench.states == ["failed"]
    assert bench.record()["reason"] == "m0: no complete answer"


def test_no_repair_is_begun_when_the_time_is_up() -> None:
    assert Bench(pipeline(limits={"time": "10s"})).start().answered("no", spent=9500).states == ["failed"]


def test_completed_fields_are_shown_as_they_come_and_nothing_twice() -> None:
    bench = Bench(pipeline()).start()
    for end in range(len(GOOD) + 1):
        bench.streamed(GOOD[:end])
    assert bench.states == ["partial", "partial"]
    assert [publish.suffix for publish in bench.published] == [GOOD[:21], GOOD[21:]]
    assert bench.record(0)["answer"] == {"verdict": "attack"}
    assert bench.record(1)["answer"] == {"verdict": "attack", "why": "many failures"}
    assert bench.record(0)["text"] is None
    bench.answered(GOOD)
    assert [bench.record(index)["rev"] for index in range(3)] == [1, 2, 3]
    assert bench.published[-1].suffix is None
    assert [publish.outcome for publish in bench.published] == [False, False, True]


def test_what_no_model_says_is_labelled_from_its_first_word_on() -> None:
    bench = Bench(pipeline(2)).start()
    bench.feed(Streamed(bench.asks[-1].call_id, '{"verdict": "attack", ', simulated=True))
    assert bench.record()["simulated"] is True
    bench.lost().streamed('{"verdict": "benign", ')
    assert bench.record()["simulated"] is False


def test_partials_of_a_repair_are_a_new_attempt() -> None:
    bench = Bench(pipeline()).start().streamed('{"verdict": "attack", ').answered('{"verdict": "attack"}')
    bench.streamed('{"verdict": "benign", ')
    assert (bench.record()["attempt"], bench.record()["answer"]) == (2, {"verdict": "benign"})


def test_a_stream_that_begins_afresh_is_a_new_attempt() -> None:
    bench = Bench(pipeline(answer=None)).start().streamed("I thi").streamed("Maybe").answered("Maybe not")
    assert [(bench.record(index)["attempt"], bench.record(index)["text"]) for index in range(3)] == [
        (1, "I thi"),
        (2, "Maybe"),
        (2, "Maybe not"),
    ]
    assert bench.published[1].suffix == "Maybe"


def test_without_partials_a_stream_shows_nothing_and_only_the_log_gets_it() -> None:
    bench = Bench(pipeline(partials=None)).start().streamed(GOOD)
    assert [(publish.outputs, publish.suffix) for publish in bench.published] == [((), GOOD)]
    assert bench.answered(GOOD).record()["rev"] == 1


def test_free_text_is_the_text_of_the_record_and_says_when_it_was_cut() -> None:
    bench = Bench(pipeline(answer=None)).start().answered("It looks like \ud800 an", "length")
    assert bench.record()["text"] == "It looks like ? an"
    assert bench.record()["answer"] is None
    assert [entry["step"] for entry in bench.record()["degraded"]] == ["shorter"]


def test_free_text_that_is_empty_is_asked_for_once_more() -> None:
    assert Bench(pipeline(answer=None)).start().answered(" \n").answered("Yes.").record()["text"] == "Yes."


def test_what_belongs_to_another_call_is_ignored() -> None:
    bench = Bench(pipeline()).start().answered("no")
    stale = bench.asks[0].call_id
    bench.feed(Streamed(stale, GOOD)).feed(Answered(stale, GOOD, "stop", Usage())).feed(CallLost(stale, "failed", ""))
    assert bench.published == []
    bench.answered(GOOD).answered(GOOD).streamed(GOOD).lost()
    assert bench.states == ["final"]


def test_after_a_restart_the_same_prompt_is_asked_as_a_new_attempt() -> None:
    bench = Bench(pipeline()).start().streamed('{"verdict": "attack", ')
    for number in range(3, 20):
        bench.context.append(number, b'{"n":%d}' % number, number)
    bench.reopen()
    first, again = bench.asks
    assert (again.question, again.request.messages) == (first.question, first.request.messages)
    assert again.call_id != first.call_id
    bench.answered(GOOD)
    assert (bench.record()["attempt"], bench.record()["rev"]) == (2, 2)


def test_after_a_restart_a_repair_is_asked_again_as_a_repair() -> None:
    bench = Bench(pipeline()).start().answered("no")
    bench.reopen()
    assert bench.asks[2].question == bench.asks[1].question
    assert bench.answered("no").states == ["failed"]


SPEAKING = pipeline(models=2, answer=None)


def test_after_a_restart_a_text_goes_on_where_it_stopped_and_stays_one_attempt() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True)
    first, second = bench.asks
    assert (second.call_id, second.question) == (first.call_id, first.question)
    assert second.request == replace(first.request, continued="It looks")
    bench.streamed("It looks").streamed("It looks ").streamed("It looks like").answered("It looks like an attack.")
    assert [publish.suffix for publish in bench.published] == ["It looks ", "like", None]
    records = [bench.record(index) for index in range(3)]
    assert [(record["attempt"], record["rev"]) for record in records] == [(1, 1), (1, 2), (1, 3)]
    assert bench.record()["text"] == "It looks like an attack."


def test_both_calls_of_a_text_that_was_continued_are_told_and_what_the_first_one_cost_is_not_known() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True).answered("It looks bad.")
    assert bench.route == [("m0", "interrupted"), ("m0", "answered")]
    assert bench.record()["usage"] == {
        "calls": 2, "input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 10, "cost": None, "currency": "USD",
    }  # fmt: skip


def test_a_call_that_said_nothing_before_the_next_restart_is_not_counted() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True).reopen(continues=True)
    assert bench.asks[2] == bench.asks[1]
    bench.streamed("It looks like").reopen(continues=True).answered("It looks like an attack.")
    assert bench.asks[3].request.continued == "It looks like"
    assert [outcome for _, outcome in bench.route] == ["interrupted", "interrupted", "answered"]


def test_a_continuation_that_does_not_fit_what_was_shown_is_a_new_attempt() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True)
    bench.streamed("It looks\nbad").answered("It looks\nbad.")
    assert [(bench.record(index)["attempt"], bench.record(index)["text"]) for index in range(3)] == [
        (1, "It looks "),
        (2, "It looks\nbad"),
        (2, "It looks\nbad."),
    ]


def test_a_continuation_that_is_refused_is_asked_anew_by_the_same_model() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True).lost("invalid", "no such field")
    again = bench.asks[-1]
    assert (again.endpoint, again.request.messages) == ("m0", bench.asks[0].request.messages)
    bench.answered("All is well.")
    assert (bench.record()["attempt"], bench.record()["degraded"]) == (2, [])
    assert [outcome for _, outcome in bench.route] == ["interrupted", "invalid", "answered"]


def test_a_continuation_that_is_lost_goes_to_the_next_model_as_the_question_itself() -> None:
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True).lost("failed")
    again = bench.asks[-1]
    assert (again.endpoint, again.request.messages) == ("m1", bench.asks[0].request.messages)
    assert bench.answered("All is well.").record()["attempt"] == 2


def test_a_continuation_whose_words_were_taken_for_thoughts_is_not_taken_for_the_end() -> None:
    """Tokens were generated and paid, and no text came of them."""
    bench = Bench(SPEAKING).start().streamed("It looks ").reopen(continues=True).answered("It looks")
    assert bench.published[-1].state == "partial"
    assert bench.asks[-1].request.messages[-1].content.startswith("The last answer was not usable: it breaks off.")
    assert bench.answered("It looks bad.").record()["attempt"] == 2


def test_a_text_that_had_only_to_be_ended_is_ended() -> None:
    bench = Bench(SPEAKING).start().streamed("All is well.").reopen(continues=True)
    ended = Answered(bench.asks[-1].call_id, "All is well.", "stop", Usage(100, 60, 1))
    assert (bench.feed(ended).states, bench.record()["attempt"]) == (["partial", "final"], 1)


def test_an_answer_with_fields_is_asked_for_anew() -> None:
    bench = Bench(pipeline()).start().streamed('{"verdict": "attack", ').reopen(continues=True)
    assert bench.asks[1].request.continued == ""
    assert bench.answered(GOOD).record()["attempt"] == 2


def test_what_was_begun_is_not_continued_with_another_prompt_or_other_parameters() -> None:
    for changed in (pipeline(answer=None, system="Be brief."), pipeline(answer=None, limits={"tokens": 7})):
        bench = Bench(SPEAKING).start().streamed("It looks ")
        bench.plan = changed
        assert bench.reopen(continues=True).asks[1].request.continued == ""


def test_after_a_restart_a_queued_run_starts_and_a_done_one_does_not() -> None:
    bench = Bench(pipeline(), episode="e")
    bench.reopen()
    bench.answered(GOOD)
    bench.reopen()
    assert len(bench.asks) == 1
    assert bench.states == ["final"]


def test_after_a_restart_a_run_whose_agent_is_gone_fails_with_the_reason() -> None:
    for bench in (Bench(pipeline()).start().streamed('{"verdict": "attack", '), Bench(pipeline())):
        bench.take(reopen_run(bench.run, Pipeline({}), bench.context))
        assert bench.states[-1] == "failed"
        assert (bench.record()["reason"], bench.record()["answer"]) == ("there is no such agent", None)


def test_without_an_agent_the_firing_is_the_outcome() -> None:
    bench = Bench(pipeline(), agent=None).start()
    assert bench.asks == []
    assert bench.states == ["final"]
    assert bench.record()["answer"] is None
    assert finished(bench.run)


def test_a_question_that_cannot_be_rendered_fails_the_run_only() -> None:
    bench = Bench(pipeline(ask="{{ values.failures }} failed")).start()
    assert bench.asks == []
    assert bench.states == ["failed"]
    assert "has no attribute 'failures'" in bench.record()["reason"]


def test_an_episode_that_ends_after_the_outcome_is_resolved_then() -> None:
    bench = Bench(pipeline(), episode="e").start().answered(GOOD)
    assert not finished(bench.run)
    bench.resolve()
    assert bench.states == ["final", "resolved"]
    assert bench.record()["rev"] == 2
    assert bench.record()["answer"] == bench.record(0)["answer"]
    assert bench.record()["episode"]["ends_at"] == "1970-01-01T00:00:00.009Z"
    assert finished(bench.run)


def test_an_episode_that_ends_before_the_outcome_is_resolved_right_after_it() -> None:
    bench = Bench(pipeline(), episode="e").start().resolve().resolve(12)
    assert bench.published == []
    bench.answered(GOOD)
    assert bench.states == ["final", "resolved"]
    assert bench.record()["episode"]["ends_at"] == "1970-01-01T00:00:00.009Z"
    assert finished(bench.run)


def test_an_episode_that_ended_by_itself_says_why_also_when_the_outcome_comes_later() -> None:
    bench = Bench(pipeline(), episode="e").start().resolve(because="forgotten").answered(GOOD)
    assert [bench.record(0)["reason"], bench.record()["reason"]] == [None, "forgotten"]


def test_a_run_pins_its_events_until_its_outcome() -> None:
    bench = Bench(pipeline())
    assert bench.run.pin == 0
    assert bench.start().run.pin == 0
    assert bench.answered(GOOD).run.pin is None
    assert Bench(pipeline(), agent=None).run.pin is None


def test_what_is_asked_can_be_looked_at_beforehand() -> None:
    bench = Bench(pipeline())
    request = request_of(bench.run, bench.plan.agents["judge"], bench.context)
    sent = bench.start().asks[0].request
    assert sent == msgspec.structs.replace(request, request_id=sent.request_id)


def test_every_phase_can_be_left_but_the_last() -> None:
    assert {phase for phase, _ in NEXT} == {"queued", "asking", "repairing", "done"}
    assert {phase for phase, _ in NEXT} | {"over"} == {"queued", *NEXT.values()}
