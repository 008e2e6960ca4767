"""Who answers while a recording plays: a script, what was recorded, the models themselves, or nobody.

    Ask ─▶ recorded? ─▶ scripted? ─▶ live, within its bounds? ─▶ nobody: the run is `asked`, with estimated tokens

What is known of a run besides its record (who answered, how long it took, what it is estimated to have cost) waits here until
its outcome is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from penstock.operators.event import Answered, Ask, CallLost, EmbedRequest
from penstock.operators.model import PriceSettings
from penstock.operators.plan import Plan
from penstock.operators.run import Run
from penstock.pipelines.backtest_recorded import Answers, Given, give, replied
from penstock.pipelines.backtest_row import ASKED, Asked, Row, used_of
from penstock.pipelines.backtest_tokens import TokenEstimate
from penstock.pipelines.scenario_judgement import WORDS, judged

NOBODY = "a backtest without answers asks no model"
Script = Callable[[Ask], str]
"""The answer to a question, which follows from the question alone. Raises Unsupported where there is none."""
RunOf = Callable[[str], Run]
"""The run of this id, which has asked."""


class Live(Protocol):
    """Models that are really asked. `most` questions are gathered before they are asked at once."""

    most: int

    def answers(self, asks: Sequence[Ask]) -> Sequence[Answered | CallLost | None]:
        """In the order of the questions; None for one that is beyond what may be asked."""

    def told(self, row: Row) -> None:
        """The outcome of a run that a model was asked for."""


class Source(NamedTuple):
    """Where answers come from; without any nobody answers."""

    script: Script | None = None
    recorded: Answers | None = None
    live: Live | None = None


def prices_of(plan: Plan) -> Mapping[str, PriceSettings | None]:
    """Of every model that is asked, by its name in the file."""
    return {endpoint.name: endpoint.price for agent in plan.agents.values() for endpoint in agent.endpoints}


class Answering:
    """`run_of` is asked where answers are found by more than the id of a run. `prompts`, if they are kept: by run, the names of
    the blocks of what nobody answered."""

    def __init__(self, plan: Plan, source: Source, run_of: RunOf, *, keeps_prompts: bool = False) -> None:
        self._plan, self._run_of = plan, run_of
        self._script, self._recorded, self._live = source
        self._prices = prices_of(plan)
        self._keeps_prompts = keeps_prompts
        self.prompts: dict[str, bytes] = {}
        self._estimate = TokenEstimate()
        self._asked: dict[str, Asked] = {}
        self._given: dict[str, Given] = {}
        self._delays: dict[str, int] = {}
        self._seconds: dict[str, list[float]] = {}

    @property
    def gathers(self) -> int:
        """So many questions are answered together."""
        return 1 if self._live is None else self._live.most

    def answers(self, asks: Sequence[Ask]) -> list[Answered | CallLost]:
        """In the order of the questions."""
        known = {ask.call_id: heard for ask in asks if (heard := self._known(ask)) is not None}
        unknown = [ask for ask in asks if ask.call_id not in known]
        if unknown and self._live is not None:
            for ask, heard in zip(unknown, self._live.answers(unknown), strict=True):
                if heard is not None:
                    self._seconds.setdefault(ask.run, []).append(heard.spent / 1000)
                    known[ask.call_id] = heard
        return [known[ask.call_id] if ask.call_id in known else self._unanswered(ask) for ask in asks]

    def _known(self, ask: Ask) -> Answered | CallLost | None:
        if ask.judges:
            return self._judged(ask)
        if ask.delay:
            self._delays[ask.run] = ask.delay
        if self._recorded is not None and (given := self._given_to(ask, self._recorded)) is not None:
            return replied(ask, given)
        if self._script is None:
            return None
        text = self._script(ask)
        return Answered(ask.call_id, text, "stop", self._estimate.answered(ask, text), simulated=True)

    def _judged(self, ask: Ask) -> Answered | CallLost:
        """What a trigger asks about an event: it is part of no run, and only a script has an answer."""
        if self._script is None:
            return CallLost(ask.call_id, "invalid", NOBODY)
        if isinstance(ask.request, EmbedRequest):
            return judged(ask, WORDS)
        text = self._script(ask)
        usage = self._estimate.answered(ask, text)
        return Answered(ask.call_id, text, "stop", usage, simulated=True, tops=((text, 0.0),))

    def _given_to(self, ask: Ask, recorded: Answers) -> Given | None:
        if ask.run not in self._given and ask.run not in self._seconds:
            run = self._run_of(ask.run)
            found = recorded.take(ask.run, (run.firing.trigger, run.key, run.firing.part, run.firing.at))
            if found is not None:
                self._given[ask.run] = give(self._plan.agents[run.agent or ""], found)
        return self._given.get(ask.run)

    def _unanswered(self, ask: Ask) -> CallLost:
        if ask.run not in self._asked and ask.run not in self._seconds:
            self._asked[ask.run] = self._estimated(ask)
        return CallLost(ask.call_id, "invalid", NOBODY)

    def _estimated(self, ask: Ask) -> Asked:
        usage = self._estimate.unanswered(ask)
        if self._keeps_prompts:
            self.prompts[ask.run] = self._estimate.last_blocks(ask)
        price = self._prices[ask.endpoint]
        return Asked(
            model=ask.endpoint,
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
            cost=None if price is None else float(price.cost(usage)),
        )

    def note(self, row: Row) -> None:
        """What its record does not tell of a run."""
        row.usage.estimated = row.usage.calls > 0 and row.run not in self._seconds
        row.delay = self._delays.pop(row.run, 0)
        if row.run in self._asked:
            row.state, row.reason, row.answer, row.degraded = ASKED, None, None, []
            row.route = [self._asked.pop(row.run)]
            row.usage = used_of(row.route, estimated=True)
        elif row.run in self._given:
            self._given.pop(row.run).put(row)
        elif row.run in self._seconds:
            seconds = self._seconds.pop(row.run)
            row.route = [
                msgspec.structs.replace(asked, seconds=took) for asked, took in zip(row.route, seconds, strict=False)
            ]
            assert self._live is not None, "somebody looked at the clock"
            self._live.told(row)
