from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from itertools import pairwise
from random import Random

import msgspec
import orjson
import pytest

from penstock.connectors.port import Model, Piece, TaskId
from penstock.connectors.scripted import CutAfter, Overloaded, Refuse, ScriptedModel, Step, Wait
from penstock.operators.error import CallFailed
from penstock.operators.event import NORMAL, URGENCY, Answered, Ask, CallLost, ChatRequest, Message, Streamed
from penstock.operators.record import Output
from penstock.pipelines.admission import Admission
from penstock.pipelines.endpoint import Endpoint, EndpointLimits, Heard
from penstock.pipelines.meters import Meters

TASK, OTHER = TaskId("main", 0), TaskId("main", 1)
LONG_ANSWER = " ".join(f"word{number}" for number in range(40))


class Clock:
    """Sleeping takes no time, but time passes by as much; with every look it passes by `per_look` seconds."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.per_look = 0.0
        self.slept: list[float] = []

    def now(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        self.seconds += self.per_look
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class Outside:
    """What a call needs of a broker. `leases` are given out one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.leases = [10.0]
        self.previews: list[tuple[Output, int]] = []

    def lease(self) -> float:
        return self.leases.pop(0) if len(self.leases) > 1 else self.leases[0]

    async def preview(self, output: Output, partition: int) -> None:
        self.previews.append((output, partition))


class Desk:
    """An admission before one model, and everything that was heard of its calls."""

    def __init__(self, model: Model, limits: EndpointLimits | None = None, previews: str | None = None) -> None:
        self.clock, self.outside = Clock(), Outside()
        self.heard: list[Heard] = []
        self.bugs: list[BaseException] = []
        self.admission = Admission(
            {"small": model},
            self.outside,
            self.clock,
            Random(7),
            Meters(),
            self.bugs.append,
            limits={"small": limits or EndpointLimits()},
            previews=previews,
        )

    def ask(
        self,
        name: str,
        owner: TaskId = TASK,
        *,
        time_limit: int = 60_000,
        partial_every: int | None = None,
        preview: bool = False,
        question: str = "",
        continued: str = "",
        priority: int = NORMAL,
        delay: int = 0,
    ) -> None:
        messages = (Message("user", f"What about {name}?"),)
        request = ChatRequest("a-model", messages, {"max_tokens": 100}, continued=continued)
        asked = Ask(
            name,
            question or f"about {name}",
            f"run-{name}",
            "key",
            "small",
            request,
            time_limit,
            partial_every,
            preview,
            priority,
            delay,
        )
        self.admission.ask(asked, owner, self.heard.append)

    @property
    def endpoint(self) -> Endpoint:
        return self.admission.endpoints["small"]

    @property
    def ended(self) -> list[Heard]:
        return [heard for heard in self.heard if not isinstance(heard, Streamed)]

    async def until_over(self) -> None:
        await until(lambda: self.endpoint.seated == 0 and not self.endpoint.waiting)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the conditions are plain attributes: nobody could set an event
            await asyncio.sleep(0)


def answering(request: ChatRequest) -> str:
    return f"answer to: {request.messages[-1].content}"


def scripted(*steps: Step, answer: Callable[[ChatRequest], str] = answering) -> ScriptedModel:
    return ScriptedModel(answer, script=steps)


async def test_an_answer_comes_back_under_its_call_id_with_text_and_usage() -> None:
    desk = Desk(scripted())
    desk.ask("a")
    await desk.until_over()
    [answered] = desk.heard
    assert isinstance(answered, Answered)
    assert (answered.call_id, answered.text, answered.finish) == ("a", "answer to: What about a?", "stop")
    assert answered.usage.output_tokens > 0
    assert answered.simulated
    ledger = desk.endpoint.ledger
    assert (ledger.begun, ledger.answered, ledger.output_tokens) == (1, 1, answered.usage.output_tokens)


async def test_an_answer_that_was_not_committed_answers_the_same_question_once_more() -> None:
    desk = Desk(scripted())
    desk.ask("a")
    await desk.until_over()
    [answered] = desk.heard
    assert isinstance(answered, Answered)
    for call in ("b", "c"):
        desk.ask(call, question="about a")
        assert desk.heard[-1] == msgspec.structs.replace(answered, call_id=call)
    desk.admission.kept.forget("c")
    desk.ask("d", question="about a")
    await desk.until_over()
    assert [type(heard) for heard in desk.heard] == [Answered] * 4
    assert (desk.endpoint.ledger.begun, desk.endpoint.ledger.answered) == (2, 2)


async def test_a_failure_is_no_answer_to_be_kept() -> None:
    desk = Desk(scripted(Refuse()))
    desk.ask("a")
    await desk.until_over()
    desk.ask("b", question="about a")
    await desk.until_over()
    assert [type(heard) for heard in desk.heard] == [CallLost, Answered]


async def test_a_broken_stream_is_tried_again_within_the_time_limit() -> None:
    desk = Desk(scripted(CutAfter(1), CutAfter(0), None))
    desk.ask("a")
    await desk.until_over()
    assert [type(heard) for heard in desk.heard] == [Answered]
    assert desk.endpoint.ledger.retried == 2


async def test_an_endpoint_that_does_not_answer_is_named_once_and_so_is_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "penstock")
    desk = Desk(scripted(CutAfter(1), CutAfter(1), None))
    desk.ask("a")
    await desk.until_over()
    said = [record.message for record in caplog.records]
    assert said == [
        "endpoint small does not answer: scripted: cut after 1 pieces",
        "endpoint small answers again",
    ]


async def test_a_call_is_lost_when_no_attempt_fits_into_its_time_limit_any_more() -> None:
    model = ScriptedModel(answering, script=lambda request, before: CutAfter(0))
    desk = Desk(model)
    desk.ask("a", time_limit=5_000)
    await desk.until_over()
    [lost] = desk.heard
    assert isinstance(lost, CallLost)
    assert lost.kind == "failed"
    assert sum(desk.clock.slept) <= 5


async def test_a_request_that_the_server_refuses_is_not_repeated() -> None:
    model = scripted(Refuse("no such model"))
    desk = Desk(model)
    desk.ask("a")
    await desk.until_over()
    assert desk.heard == [CallLost("a", "invalid", "scripted: no such model")]
    assert len(model.calls) == 1


async def test_a_call_that_exceeds_its_time_limit_is_timed_out() -> None:
    desk = Desk(scripted(Wait(60.0)))
    desk.ask("a", time_limit=10)
    await desk.until_over()
    [lost] = desk.heard
    assert isinstance(lost, CallLost)
    assert lost.kind == "timed_out"


async def test_waiting_for_a_busy_endpoint_does_not_count_against_the_call() -> None:
    desk = Desk(scripted(Overloaded(100.0), Overloaded(200.0), None))
    desk.ask("a", time_limit=1_000)
    await desk.until_over()
    assert [type(heard) for heard in desk.heard] == [Answered]
    assert desk.clock.slept[0] >= 100
    assert desk.clock.slept[1] >= 200
    assert desk.endpoint.ledger.pushed_back == 2


async def test_an_endpoint_that_asks_to_wait_is_saturated_until_it_answers() -> None:
    desk = Desk(scripted(Overloaded(5.0), None))
    desk.ask("a")
    assert not desk.admission.saturated
    await until(lambda: desk.admission.saturated)
    await desk.until_over()
    assert not desk.admission.saturated


async def test_a_busy_endpoint_without_calls_is_given_the_benefit_of_doubt() -> None:
    desk = Desk(scripted(Overloaded(None), None))
    desk.ask("a")
    await until(lambda: desk.admission.saturated)
    desk.admission.cancel("a")
    await desk.until_over()
    assert not desk.admission.saturated


async def test_no_more_calls_are_under_way_than_there_are_seats() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=3, queue=100))
    for number in range(10):
        desk.ask(str(number))
    await until(lambda: model.inside == 3)
    assert len(desk.endpoint.waiting) == 7
    model.opened.set()
    await desk.until_over()
    assert model.most == 3
    assert len(desk.heard) == 10


async def test_intake_should_pause_when_too_many_calls_wait_and_go_on_when_half_of_them_are_seated() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=1, queue=10))
    for number in range(11):
        desk.ask(str(number))
    assert not desk.admission.saturated
    desk.ask("one too many")
    assert desk.admission.saturated
    for number in range(1, 6):
        desk.admission.cancel(str(number))
        assert desk.admission.saturated
    desk.admission.cancel("6")
    assert not desk.admission.saturated
    await desk.admission.close()


async def test_the_most_urgent_call_goes_first_whoever_waits_for_longest() -> None:
    desk = Desk(scripted(), EndpointLimits(concurrency=1))
    desk.ask("seated")
    for name, task, priority in (
        ("low", OTHER, "low"),
        ("b", OTHER, "normal"),
        ("a", TASK, "normal"),
        ("now", TASK, "high"),
    ):
        desk.ask(name, task, priority=URGENCY[priority])
    await desk.until_over()
    assert [ended.call_id for ended in desk.ended] == ["seated", "now", "b", "a", "low"]


async def test_a_delayed_call_waits_outside_of_the_queue() -> None:
    desk = Desk(scripted(), EndpointLimits(concurrency=1, queue=0))
    desk.ask("later", delay=50)
    assert not desk.admission.saturated
    assert desk.admission.awaited(TASK)
    desk.ask("now")
    await until(lambda: len(desk.ended) == 2)
    assert [ended.call_id for ended in desk.ended] == ["now", "later"]


async def test_a_delayed_call_that_is_cancelled_never_reaches_the_model() -> None:
    model = scripted()
    desk = Desk(model)
    for name in ("one", "other", "third"):
        desk.ask(name, delay=20)
    desk.admission.cancel("one")
    desk.admission.begin_no_more(TASK)
    await asyncio.sleep(0.05)
    assert desk.heard == []
    assert (desk.admission.in_flight, desk.endpoint.ledger.cancelled) == (0, 3)


async def test_tasks_take_turns_so_that_a_long_queue_of_one_does_not_hold_up_the_other() -> None:
    model = scripted()
    desk = Desk(model, EndpointLimits(concurrency=1))
    for number in range(5):
        desk.ask(f"a{number}", TASK)
    desk.ask("b0", OTHER)
    desk.ask("b1", OTHER)
    await desk.until_over()
    order = [call.request.messages[0].content.split()[-1].rstrip("?") for call in model.calls]
    assert order == ["a0", "a1", "b0", "a2", "b1", "a3", "a4"]


async def test_nothing_is_heard_of_a_cancelled_call_and_its_stream_is_closed() -> None:
    model = ScriptedModel(lambda request: LONG_ANSWER, seconds_per_piece=0.01)
    desk = Desk(model)
    desk.ask("a")
    await until(lambda: bool(model.calls and model.calls[0].text))
    desk.admission.cancel("a")
    await desk.until_over()
    assert desk.heard == []
    assert model.count("cancelled") == 1
    assert desk.endpoint.ledger.cancelled == 1


async def test_a_call_cancelled_while_it_waits_for_a_seat_never_reaches_the_model() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=1))
    desk.ask("first")
    desk.ask("second")
    desk.admission.cancel("second")
    model.opened.set()
    await desk.until_over()
    assert [heard.call_id for heard in desk.heard] == ["first"]
    assert model.asked == 1


async def test_ending_one_task_cancels_its_calls_only() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=2))
    for name, owner in (("a", TASK), ("b", OTHER), ("c", TASK)):
        desk.ask(name, owner)
    desk.admission.cancel_all(TASK)
    model.opened.set()
    await desk.until_over()
    assert [heard.call_id for heard in desk.heard] == ["b"]


async def test_the_same_call_id_may_be_asked_again_after_it_was_cancelled() -> None:
    model = Gate()
    desk = Desk(model)
    desk.ask("a")
    await until(lambda: model.inside == 1)
    desk.admission.cancel("a")
    desk.ask("a")
    model.opened.set()
    await desk.until_over()
    assert [heard.call_id for heard in desk.heard] == ["a"]


async def test_nothing_leaves_while_the_lease_has_run_out() -> None:
    model = scripted()
    desk = Desk(model)
    desk.outside.leases = [0.0, 0.0, 0.0, 10.0]
    desk.ask("a")
    await desk.until_over()
    assert len(desk.clock.slept) == 3
    assert len(desk.ended) == 1


async def test_partials_tell_the_whole_text_so_far_grow_and_come_before_the_answer() -> None:
    desk = Desk(slow(LONG_ANSWER))
    desk.clock.per_look = 0.1
    desk.ask("a", partial_every=500)
    await desk.until_over()
    *partials, answered = desk.heard
    texts = [heard.text for heard in partials if isinstance(heard, Streamed)]
    assert len(texts) == len(partials) >= 2
    assert all(later.startswith(earlier) and later != earlier for earlier, later in pairwise(texts))
    assert isinstance(answered, Answered)
    assert answered.text.startswith(texts[-1])


async def test_nothing_is_told_of_the_text_where_no_partials_are_asked_for() -> None:
    desk = Desk(slow(LONG_ANSWER))
    desk.clock.per_look = 1.0
    desk.ask("a")
    await desk.until_over()
    assert [type(heard) for heard in desk.heard] == [Answered]


async def test_a_second_attempt_is_told_from_its_beginning() -> None:
    desk = Desk(Fickle(["first thoughts go this way", "no: they go that way, and then some more"]))
    desk.clock.per_look = 1.0
    desk.ask("a", partial_every=1)
    await desk.until_over()
    partials = [heard.text for heard in desk.heard if isinstance(heard, Streamed)]
    begun_again = next(index for index, text in enumerate(partials) if text.startswith("no"))
    assert all("first thoughts go this way".startswith(text) for text in partials[:begun_again])
    assert len(partials[begun_again]) < len(partials[-1])
    [answered] = desk.ended
    assert isinstance(answered, Answered)
    assert answered.text == "no: they go that way, and then some more"


async def test_what_a_call_spent_of_its_time_limit_leaves_out_the_waits_for_a_busy_endpoint() -> None:
    desk = Desk(scripted(Overloaded(100.0), CutAfter(0), None))
    desk.ask("a")
    await desk.until_over()
    [answered] = desk.ended
    assert isinstance(answered, Answered)
    pause_after_cut = desk.clock.slept[1]
    assert answered.spent == pytest.approx(1000 * pause_after_cut, abs=1)


async def test_no_preview_leaves_while_the_lease_has_run_out() -> None:
    desk = Desk(slow(LONG_ANSWER), previews="ops.ssh.previews")
    desk.outside.leases = [10.0, 0.0]
    desk.ask("a", preview=True)
    await desk.until_over()
    assert len(desk.ended) == 1
    assert desk.outside.previews == []


async def test_previews_hold_every_character_once_and_go_to_the_partition_of_the_task() -> None:
    desk = Desk(slow(LONG_ANSWER), previews="ops.ssh.previews")
    desk.clock.per_look = 0.04
    desk.ask("a", OTHER, preview=True)
    await desk.until_over()
    bodies = [orjson.loads(output.value or b"") for output, _ in desk.outside.previews]
    assert len(bodies) > 2
    assert "".join(body["text"] for body in bodies) == LONG_ANSWER
    assert [body["from"] for body in bodies] == [
        len("".join(b["text"] for b in bodies[:i])) for i in range(len(bodies))
    ]
    assert {(output.topic, partition) for output, partition in desk.outside.previews} == {("ops.ssh.previews", 1)}


async def test_an_answer_that_is_continued_is_told_whole_and_previewed_from_where_it_goes_on() -> None:
    desk = Desk(scripted(CutAfter(2), answer=lambda request: LONG_ANSWER), previews="ops.ssh.previews")
    desk.clock.per_look = 0.1
    desk.ask("a", partial_every=1, preview=True, continued=LONG_ANSWER[:50])
    await desk.until_over()
    texts = [heard.text for heard in desk.heard if not isinstance(heard, CallLost)]
    assert len(texts) == len(desk.heard)
    assert all(text.startswith(LONG_ANSWER[:50]) for text in texts)
    assert texts[-1] == LONG_ANSWER
    bodies = [orjson.loads(output.value or b"") for output, _ in desk.outside.previews]
    assert {body["from"] >= 50 for body in bodies} == {True}
    assert "".join(body["text"] for body in bodies).endswith(LONG_ANSWER[50:])


async def test_whether_a_question_may_be_continued_is_up_to_its_model_unless_the_answer_is_kept() -> None:
    assert not Desk(Gate()).admission.continues("small", "about a")
    desk = Desk(scripted())
    assert desk.admission.continues("small", "about a")
    desk.ask("a")
    await desk.until_over()
    assert not desk.admission.continues("small", "about a")
    assert desk.admission.continues("small", "about b")


async def test_a_task_that_begins_no_more_keeps_the_calls_that_have_a_seat() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=1))
    for name, owner in (("a", TASK), ("b", TASK), ("c", OTHER)):
        desk.ask(name, owner)
    await until(lambda: model.inside == 1)
    desk.admission.begin_no_more(TASK)
    assert (desk.admission.in_flight, desk.endpoint.ledger.cancelled) == (2, 1)
    model.opened.set()
    await desk.until_over()
    assert [heard.call_id for heard in desk.heard] == ["a", "c"]
    assert not desk.admission.awaited(TASK)


async def test_a_call_that_is_handed_over_tells_how_far_it_got_also_where_nothing_is_shown() -> None:
    hanging = Hanging("It looks like an attack", "on host")
    desk = Desk(hanging)
    desk.ask("a")
    desk.ask("b", OTHER)
    await until(lambda: hanging.said == 2 * 2)
    desk.admission.hand_over(TASK)
    await until(lambda: desk.endpoint.seated == 1)
    assert desk.heard == [Streamed("a", "It looks like an attackon host")]
    assert desk.admission.awaited(OTHER)
    await desk.admission.close()


async def test_a_call_that_has_said_nothing_has_nothing_to_hand_over() -> None:
    desk = Desk(Gate(), EndpointLimits(concurrency=1))
    desk.ask("a")
    desk.ask("b")
    desk.admission.hand_over(TASK)
    await desk.until_over()
    assert desk.heard == []


async def test_a_second_attempt_that_is_not_as_far_as_the_first_hands_over_nothing() -> None:
    """What the first one said is committed, and is the better beginning."""
    hanging = Hanging("so", " far", " so good", breaks=True)
    desk = Desk(hanging)
    desk.clock.per_look = 1.0
    desk.ask("a", partial_every=1_000)
    await until(lambda: hanging.said == 3)
    desk.clock.per_look = 0.0
    await until(lambda: hanging.said == 4)
    desk.admission.hand_over(TASK)
    assert desk.heard == [Streamed("a", "so"), Streamed("a", "so far so good")]
    await desk.admission.close()


async def test_a_pipeline_without_a_previews_topic_shows_none() -> None:
    desk = Desk(slow(LONG_ANSWER))
    desk.ask("a", preview=True)
    await desk.until_over()
    assert desk.outside.previews == []


async def test_an_exception_that_no_model_may_raise_is_reported_as_a_bug() -> None:
    desk = Desk(ScriptedModel(lambda request: dict[str, str]()["no such key"]))
    desk.ask("a")
    await desk.until_over()
    assert [type(bug) for bug in desk.bugs] == [KeyError]
    assert desk.heard == []


async def test_a_stream_that_ends_without_a_reason_is_not_taken_for_an_answer() -> None:
    desk = Desk(Torso())
    desk.ask("a", time_limit=1_000)
    await desk.until_over()
    [lost] = desk.heard
    assert isinstance(lost, CallLost)
    assert "ended before the answer did" in lost.message


async def test_closing_cancels_what_is_under_way_and_what_waits() -> None:
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=2))
    for number in range(5):
        desk.ask(str(number))
    await until(lambda: model.inside == 2)
    await desk.admission.close()
    assert model.inside == 0
    assert (desk.admission.in_flight, desk.endpoint.ledger.cancelled, desk.heard) == (0, 5, [])


async def test_thousands_of_calls_in_flight_all_come_back() -> None:
    calls = 2_000
    model = Gate()
    desk = Desk(model, EndpointLimits(concurrency=calls))
    for number in range(calls):
        desk.ask(str(number))
    await until(lambda: model.inside == calls)
    model.opened.set()
    await desk.until_over()
    assert {heard.call_id for heard in desk.heard} == {str(number) for number in range(calls)}


def slow(text: str) -> ScriptedModel:
    return ScriptedModel(lambda request: text)


class Gate:
    """A model that answers nobody before it is opened."""

    continues = False

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.inside = self.most = self.asked = 0

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        self.asked += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
        yield Piece("fine", "stop")

    async def probe(self) -> str:
        return "a gate"

    async def close(self) -> None:
        """Nothing is held open."""


class Hanging(Gate):
    """Says its pieces and then nothing more. `breaks`: the first stream breaks behind them, the second hangs behind the first."""

    def __init__(self, *pieces: str, breaks: bool = False) -> None:
        super().__init__()
        self.pieces, self.breaks, self.said = pieces, breaks, 0

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        breaks, again = self.breaks and self.asked == 0, self.breaks and self.asked > 0
        self.asked += 1
        for piece in self.pieces[:1] if again else self.pieces:
            self.said += 1
            yield Piece(piece)
        if breaks:
            raise CallFailed("the connection broke")
        await self.opened.wait()


class Fickle(ScriptedModel):
    """Breaks every stream off but the last, and says something else each time."""

    def __init__(self, texts: list[str]) -> None:
        texts = list(texts)
        super().__init__(lambda request: texts.pop(0), script=[CutAfter(3)] * (len(texts) - 1))


class Torso(Gate):
    """Ends its stream without the last piece."""

    async def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        yield Piece("some text")
