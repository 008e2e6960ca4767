"""An agent that answers in one step: the state table of its runs.

    queued ───ask───▶ asking ◀─┐ ask: lost, and there is another model
      │               │ │ └────┘
      │               │ └──repair──▶ repairing ──ask──▶ asking
      │               │                  │
      └──────end──────┴───────end────────┴──▶ done ──close──▶ over

    repair   the first answer of the run that cannot be used
    end      the outcome: an answer; or no agent, no question, lost or unusable with nothing left to try: fallback or `failed`
    close    at once, or when the episode that the firing opened has ended

Every call is a new attempt: its stream begins afresh, and a consumer sees that by the number. Only after a restart a call may
go on with the stream of the one before (`continuation.py`). The functions change the run and return what follows from it.
They are pure in the sense of the house: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from penstock.operators.agent_plan import AgentPlan as AgentPlan  # exported: to its neighbours an agent is one module
from penstock.operators.agent_plan import AgentSettings as AgentSettings
from penstock.operators.answer import LENGTH, Unusable
from penstock.operators.context import Context
from penstock.operators.continuation import Continues, begun_text, is_continued, never
from penstock.operators.event import NORMAL, Answered, Ask, CallLost, Cancel, ChatRequest, Streamed, Usage
from penstock.operators.prompt import first_messages, repair_messages
from penstock.operators.record import Output
from penstock.operators.result import ResultPlan, result_outputs
from penstock.operators.run import (
    NO_STEPS,
    CallEntry,
    Degradation,
    Firing,
    Phase,
    Run,
    State,
    Steps,
    cache_salt,
    call_id,
    carried,
    question_id,
    template_scope,
)
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.template import TemplateFailure
from penstock.operators.view import View

NEXT: Mapping[tuple[Phase, str], Phase] = {
    ("queued", "ask"): "asking",
    ("queued", "end"): "done",
    ("asking", "ask"): "asking",
    ("asking", "repair"): "repairing",
    ("asking", "end"): "done",
    ("repairing", "ask"): "asking",
    ("repairing", "end"): "done",
    ("done", "close"): "over",
}
CALLING = frozenset({"asking", "repairing"})
LEAST_TIME_MS = 1000
"""With less time left no further call is begun."""


class Publish(msgspec.Struct, frozen=True):
    """Records to write. `suffix` is what a partial adds to the stream of its attempt; None for an outcome or `resolved`.

    A partial without records is for the log alone: the agent shows none.
    """

    outputs: tuple[Output, ...]
    state: State
    suffix: str | None = None

    @property
    def outcome(self) -> bool:
        """It must not wait, and the delta keeps it whole."""
        return self.state != "partial"


Action = Ask | Cancel | Publish


class RunPlan(Protocol):
    """The part of a pipeline's plan that its runs need."""

    @property
    def agents(self) -> Mapping[str, AgentPlan]: ...
    @property
    def results(self) -> ResultPlan: ...
    @property
    def absence(self) -> str:
        """Why an agent that is not among `agents` is not."""
        ...


def open_run(
    firing: Firing,
    plan: RunPlan,
    context: Context,
    now: int,
    steps: Steps = NO_STEPS,
    tables: Tables = NO_TABLES,
    priority: int = NORMAL,
) -> Run:
    """A run of what the key's context shows at `now` (N of the key, ms), of events up to the firing's own time.

    `steps` and `tables` are for the question alone. Pins those events: unpin when it has an outcome.
    """
    firing = msgspec.structs.replace(firing, values=carried(firing.values))
    scope = template_scope(firing, steps, tables)
    return _opened(firing, plan, context, context.view(now, firing.at), scope, priority)


def open_following(
    firing: Firing, plan: RunPlan, context: Context, view: View, tables: Tables = NO_TABLES, priority: int = NORMAL
) -> Run:
    """A run of what the run that it follows was shown. Call it while that one's events are pinned: it pins them for itself."""
    return _opened(firing, plan, context, view, template_scope(firing, tables=tables), priority)


def _opened(
    firing: Firing, plan: RunPlan, context: Context, view: View, scope: Mapping[str, Any], priority: int
) -> Run:
    results = plan.results
    run = Run(firing=firing, view=view, version=results.version, definition=results.definition, priority=priority)
    if firing.agent is None:
        return run
    question = plan.agents[firing.agent].ask.render(scope)
    if isinstance(question, TemplateFailure):
        run.unaskable = question.reason
    else:
        run.question = question
    if run.pin is not None:
        context.pin(run.id, run.pin)
    return run


def start_run(run: Run, plan: RunPlan, context: Context) -> list[Action]:
    """It is the run's turn: the first call, or at once the outcome."""
    if run.agent is None:
        return _end(run, plan, "final")
    agent = plan.agents.get(run.agent)
    if agent is None:
        return _abandon(run, plan)
    if run.unaskable is not None:
        return _give_up(run, plan, agent, run.unaskable)
    return [_ask(run, agent, context)]


def feed_run(run: Run, event: Streamed | Answered | CallLost, plan: RunPlan, context: Context) -> list[Action]:
    """Something was heard of a call. What belongs to another call than the one under way is ignored (protocol rule 11)."""
    if run.phase not in CALLING or event.call_id != run.call_id or run.agent is None:
        return []
    agent = plan.agents[run.agent]
    match event:
        case Streamed():
            return _show(run, plan, agent, _encodable(event.text), simulated=event.simulated)
        case Answered():
            return _read(run, plan, agent, context, event)
        case CallLost():
            return _lose(run, plan, agent, context, event)


def reopen_run(run: Run, plan: RunPlan, context: Context, continues: Continues = never) -> list[Action]:
    """After a restart: ask again what was being asked, with its pinned prompt, from where it stopped or as a new attempt.

    Its definition may be a former one: without its agent a run fails, without its model it goes on with the last one left.
    """
    if run.phase == "queued":
        return start_run(run, plan, context)
    if run.phase not in CALLING or run.agent is None:
        return []
    agent = plan.agents.get(run.agent)
    if agent is None:
        return _abandon(run, plan)
    run.spent = 0
    run.endpoint = min(run.endpoint, len(agent.endpoints) - 1)
    name = agent.endpoints[run.endpoint].name
    if not is_continued(run, agent, lambda: question_id(run, name, request_of(run, agent, context)), continues):
        return [_call(run, agent, context)]
    if len(run.streamed) > run.continued:  # else it is not known that the call before was ever begun
        run.calls.append(CallEntry(name, run.attempt, "interrupted", None, Usage(), None, run.simulated))
    run.continued = len(run.streamed)
    return [_asked(run, agent, context)]


def resolve_run(run: Run, ends_at: int, plan: RunPlan, because: str | None = None) -> list[Action]:
    """The episode that the firing opened ended at event time `ends_at` (ms). Before the outcome this is only remembered.

    `because`: it did not end by what the file says; the record gives the reason.
    """
    if not run.in_episode:
        return []
    run.ends_at, run.ends_because = ends_at, because
    return _close(run, plan)


def has_outcome(run: Run) -> bool:
    """Its one outcome was published; the next run of its key and agent may start."""
    return run.phase in ("done", "over")


def finished(run: Run) -> bool:
    """Nothing more can come of it: it may be forgotten."""
    return run.phase == "over"


def request_of(run: Run, agent: AgentPlan, context: Context) -> ChatRequest:
    """Exactly what is sent for the run as it stands."""
    endpoint = agent.endpoints[run.endpoint]
    messages = first_messages(agent.system, run, context.lines(run.view.first, run.view.last, run.view.until))
    if run.refused_text is not None:
        messages = repair_messages(messages, run.refused_text, run.refused_because)
    return ChatRequest(
        model=endpoint.model,
        messages=messages,
        parameters=endpoint.parameters,
        schema=None if agent.shape is None else agent.shape.schema,
        cache_salt=cache_salt(run.firing.tenant),
        continued=begun_text(run),
    )


def _move(run: Run, turn: str) -> None:
    run.phase = NEXT[run.phase, turn]


def _ask(run: Run, agent: AgentPlan, context: Context) -> Ask:
    """The agent's question, to the model whose turn it is."""
    _move(run, "ask")
    run.refused_text = None
    return _call(run, agent, context)


def _call(run: Run, agent: AgentPlan, context: Context) -> Ask:
    run.attempt += 1
    _forget_stream(run)
    return _asked(run, agent, context)


def _asked(run: Run, agent: AgentPlan, context: Context) -> Ask:
    endpoint, request = agent.endpoints[run.endpoint].name, request_of(run, agent, context)
    question = question_id(run, endpoint, request)
    run.call_id = call_id(question, run.attempt)
    named = msgspec.structs.replace(request, request_id=f"{run.id}.{run.attempt}")
    return Ask(
        call_id=run.call_id,
        question=question,
        run=run.id,
        key=run.key,
        endpoint=endpoint,
        request=named,
        time_limit=agent.time_limit - run.spent,
        partial_every=agent.partial_every,
        preview=agent.preview,
        priority=run.priority,
        delay=0 if run.calls or run.streamed else run.delay,
    )


def _forget_stream(run: Run) -> None:
    run.streamed, run.answer, run.text, run.simulated, run.continued = "", None, None, False, 0


def _show(run: Run, plan: RunPlan, agent: AgentPlan, text: str, *, simulated: bool) -> list[Action]:
    """A partial record, if there is anything new to see. A stream that does not go on from what was seen began afresh.

    One that is continued begins shortly before what was seen.
    """
    if run.continued and run.streamed.startswith(text):
        return []
    if not text.startswith(run.streamed):
        run.attempt += 1
        _forget_stream(run)
    if agent.shape is None:
        changed = text != run.streamed
        run.text = text
    else:
        fields = agent.shape.completed(text)
        changed = fields != (run.answer or {})
        run.answer = fields or None
    if not changed:
        return []
    suffix, run.streamed, run.simulated = text[len(run.streamed) :], text, simulated
    if agent.partial_every is None:
        return [Publish((), "partial", suffix)]
    return [_publish(run, plan, "partial", suffix)]


def _read(run: Run, plan: RunPlan, agent: AgentPlan, context: Context, event: Answered) -> list[Action]:
    """The call ended with a text: an answer, or a reason to ask once more."""
    run.spent += event.spent
    text = _encodable(event.text)
    found = _found(run, agent, text, event)
    if isinstance(found, Unusable):
        _note(run, agent, "unusable", found.reason, event.usage, simulated=event.simulated)
        if run.repaired or not _has_time(run, agent):
            return _give_up(run, plan, agent, f"the answer was not usable: {found.reason}")
        run.repaired = True
        run.refused_text, run.refused_because = text, found.reason
        _move(run, "repair")
        return [_call(run, agent, context)]
    if not text.startswith(run.streamed):
        run.attempt += 1  # the stream broke after that was shown, and this one says something else
    _note(run, agent, "answered", None, event.usage, simulated=event.simulated)
    run.answer, run.text = (None, found) if isinstance(found, str) else (found, None)
    if isinstance(found, str) and event.finish == LENGTH:
        run.degraded.append(Degradation("shorter", "the text was cut at the model's limit of tokens"))
    return _end(run, plan, "final")


def _found(run: Run, agent: AgentPlan, text: str, event: Answered) -> dict[str, Any] | str | Unusable:
    if agent.shape is not None:
        return agent.shape.parse(text, event.finish)
    if run.continued and text == begun_text(run) and event.usage.output_tokens > 1:
        return Unusable("it breaks off")  # what was generated did not become text: it counts as thoughts
    return text if text.strip() else Unusable("it was empty")


def _lose(run: Run, plan: RunPlan, agent: AgentPlan, context: Context, event: CallLost) -> list[Action]:
    """The call ended without an answer: the next model gets the question, if there is one and time for it.

    Where only the continuation was refused, the same model gets it first.
    """
    run.spent += event.spent
    message = _encodable(event.message)
    _note(run, agent, event.kind, message, event.usage)
    if run.continued and event.kind == "invalid" and _has_time(run, agent):
        return [_call(run, agent, context)]
    because = f"{agent.endpoints[run.endpoint].name}: {message}"
    if run.endpoint + 1 == len(agent.endpoints) or not _has_time(run, agent):
        return _give_up(run, plan, agent, because)
    run.degraded.append(Degradation("next_model", because))
    run.endpoint += 1
    return [_ask(run, agent, context)]


def _has_time(run: Run, agent: AgentPlan) -> bool:
    return agent.time_limit - run.spent >= LEAST_TIME_MS


def _note(
    run: Run, agent: AgentPlan, outcome: str, because: str | None, usage: Usage, *, simulated: bool = False
) -> None:
    endpoint = agent.endpoints[run.endpoint]
    run.calls.append(CallEntry(endpoint.name, run.attempt, outcome, because, usage, endpoint.cost(usage), simulated))


def _give_up(run: Run, plan: RunPlan, agent: AgentPlan, because: str) -> list[Action]:
    """No model will answer: the fallback, labelled, or a failure that says why."""
    _forget_stream(run)
    if agent.fallback is None:
        run.reason = because
        return _end(run, plan, "failed")
    run.answer = dict(agent.fallback)
    run.degraded.append(Degradation("fallback", because))
    return _end(run, plan, "final")


def _abandon(run: Run, plan: RunPlan) -> list[Action]:
    """There is nobody left to answer, and no fallback of whoever should have."""
    _forget_stream(run)
    run.reason = plan.absence
    return _end(run, plan, "failed")


def _end(run: Run, plan: RunPlan, state: State) -> list[Action]:
    _move(run, "end")
    run.call_id = run.streamed = run.question = ""
    run.refused_text, run.refused_because, run.continued = None, "", 0
    return [_publish(run, plan, state), *_close(run, plan)]


def _close(run: Run, plan: RunPlan) -> list[Action]:
    """After the outcome: the end of its episode, which may have come before or is still to come."""
    if run.phase != "done":
        return []
    if run.firing.episode is None:
        _move(run, "close")
        return []
    if run.ends_at is None:
        return []
    run.reason = run.ends_because or run.reason
    _move(run, "close")
    return [_publish(run, plan, "resolved")]


def _publish(run: Run, plan: RunPlan, state: State, suffix: str | None = None) -> Publish:
    run.rev += 1
    return Publish(result_outputs(run, plan.results, state), state, suffix)


def _encodable(text: str) -> str:
    """A text of a model may hold halves of surrogate pairs, which no record can carry."""
    return text.encode("utf-8", "replace").decode()
