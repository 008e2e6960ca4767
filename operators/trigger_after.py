"""`after`: fires when a run of an agent has answered, and the answer is what there is to look at.

    trigger     F                                  the prompt holds the events up to F, of both runs
    diagnose    └──── asks ────▶ final             answer.cause == "deploy"
    after                          F               at the same event time as F above
    ticket                         └── asks ──▶ final
                                   │
                                 one commit: the outcome, and the run that follows it

It looks at no events, so it knows nothing of a key and has no cell: an outcome is there once, and so is what follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from pydantic import Field, field_validator

from penstock.operators.condition import count_doubt
from penstock.operators.expression import UNKNOWN, Compiled, Scope, Unknown, compile_expression
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Member, Name, walk
from penstock.operators.key_state import Counts, KeyState
from penstock.operators.run import Run, template_scope
from penstock.operators.setting import OutcomeCondition, Text, TextOrTexts
from penstock.operators.trigger import Bind, Transition, Trigger, TriggerSettings

OUTCOME_SCOPE = Scope(
    roots=frozenset({"answer", "text", "trigger", "key", "by", "tenant", "values", "labels"}),
    advice="the `where` of an `after` looks at what was answered, such as answer.verdict, and at what that run was about: "
    "trigger.name, key, by, tenant, values.failures, labels.severity",
)


class AfterSettings(TriggerSettings):
    """Fires when a run of another agent has an answer; for the same key, and once per run."""

    refused: ClassVar[Mapping[str, str]] = {
        "by": "it is about the part of the key that the run before was about",
        "cooldown": "it fires once per run; a cooldown belongs to the triggers that ask the agent",
    }

    after: Text = Field(description="The agent whose answers it looks at.", examples=["investigate"])
    where: OutcomeCondition | None = Field(
        default=None, description="Which answers; default: all.", examples=['answer.verdict == "attack"']
    )

    @field_validator("from_")
    @classmethod
    def _sees_no_events(cls, from_: TextOrTexts) -> TextOrTexts:
        raise ValueError("`after` looks at answers, not at events; `from` belongs to the triggers that ask the agent")


class After(Trigger):
    """`agent` is whose outcomes it follows. Unknown follows nothing, and is counted."""

    by_event: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False

    def __init__(self, agent: str, where: Compiled | None) -> None:
        self.agent, self.where = agent, where
        self.idle_unless = self.deaf_unless = frozenset()
        self.condition = f"after: {agent}" if where is None else f"after: {agent}, where: {where.text}"

    def fed(
        self, key: KeyState, cell: None, time: int, watermark: int, due: int | None
    ) -> tuple[None, Transition | None]:
        return None, None

    def skipped(self, before: None, after: None) -> None:
        return None

    def follows(self, run: Run, counters: Counts) -> bool:
        """The run of its agent just ended with an answer: is it one of those?"""
        if self.where is None:
            return True
        held = self.where.evaluate(None, (), _outcome(run))
        if held.__class__ is Unknown:
            count_doubt(counters, self.where.text, held)
        return held is True


def _outcome(run: Run) -> SimpleNamespace:
    """What `where` can name. Where there are no fields, what is looked for in them is missing."""
    answered: dict[str, Any] = {
        "answer": UNKNOWN if run.answer is None else run.answer,
        "text": UNKNOWN if run.text is None else run.text,
    }
    return SimpleNamespace(**{**template_scope(run.firing), **answered})


def values_named(where: str) -> set[str]:
    """The definitions that the condition of an `after` reads, as `values.failures`."""
    return {node.name for node in members_of("values", where)}


def members_of(root: str, where: str) -> list[Member]:
    """What a condition reads of one of its roots, as `root.member`. Raises ExpressionError if it does not parse."""
    return [
        node
        for node in walk(parse(where))
        if isinstance(node, Member) and isinstance(node.of, Name) and node.of.name == root
    ]


def build(settings: AfterSettings, bind: Bind) -> After:
    """Its condition is not bound to the key's aggregates: it reads what was found when the run began."""
    where = None if settings.where is None else compile_expression(settings.where, OUTCOME_SCOPE)
    return After(settings.after, where)
