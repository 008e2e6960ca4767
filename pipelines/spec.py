"""The whole file as one frozen value: what the parts are called, their defaults, and what refers to what.

The settings of a part live with its logic; here they are put together. A `Spec` exists only for a file without errors,
so whoever holds one needs to check nothing again.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny, WithJsonSchema

from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.agent import AgentSettings
from penstock.operators.context import ContextSettings
from penstock.operators.limit import LimitOrNone
from penstock.operators.model import CHAT, ModelSettings
from penstock.operators.setting import AnyExpression, Settings, Text
from penstock.operators.source import SourceSettings
from penstock.operators.table import TableSettings
from penstock.operators.trigger import NO_AGENT
from penstock.pipelines.output_settings import OutputSettings, OutputTopics, output_topics
from penstock.pipelines.trigger_choice import AnyTrigger

_HOST_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_WORD = r"[A-Za-z_][A-Za-z0-9_-]{0,62}"
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,62}"


def _host_label(text: str) -> str:
    if not re.fullmatch(_HOST_LABEL, text):
        raise ValueError(
            f"{text!r} is not a name; write lower-case letters, digits and `-`, at most 63, such as ssh-watch"
        )
    return text


def _word(text: str) -> str:
    if not re.fullmatch(_WORD, text):
        raise ValueError(f"{text!r} is not a name; write a letter, then letters, digits, `_` or `-`, at most 63")
    return text


def _identifier(text: str) -> str:
    if not re.fullmatch(_IDENTIFIER, text):
        raise ValueError(f"{text!r} cannot be named in an expression; write a letter, then letters, digits or `_`")
    return text


HostLabel = Annotated[
    Text, AfterValidator(_host_label), WithJsonSchema({"type": "string", "pattern": f"^{_HOST_LABEL}$"}),
]  # fmt: skip
"""Part of the names of topics, groups and transactions, hence as in DNS."""
Word = Annotated[str, AfterValidator(_word), WithJsonSchema({"type": "string", "pattern": f"^{_WORD}$"})]
Identifier = Annotated[
    str, AfterValidator(_identifier), WithJsonSchema({"type": "string", "pattern": f"^{_IDENTIFIER}$"}),
]  # fmt: skip


class Spec(Settings):
    """A pipeline of Penstock."""

    penstock: Literal["v1"] = Field(description="The version of this language.")
    name: HostLabel = Field(description="What the pipeline is called, in topics and results.", examples=["ssh-watch"])
    namespace: HostLabel = Field(
        default="dev",
        description="Keeps deployments apart: topics, groups and transactions are <namespace>.<name>.*",
        examples=["${PENSTOCK_NAMESPACE:-dev}"],
    )
    version: Text = Field(default="local", description="Yours, in every result.", examples=["${GIT_SHA:-local}"])
    labels: dict[str, Text] = Field(default={}, description="On every result.", examples=[{"team": "secops"}])
    kafka: KafkaSettings = Field(default=KafkaSettings(), description="The cluster that holds the topics.")
    sources: dict[Word, SourceSettings] = Field(min_length=1, description="Topics to read.")
    tables: dict[Identifier, TableSettings] = Field(
        default={}, description="Compacted topics whose rows expressions and templates look up."
    )
    define: dict[Identifier, AnyExpression] = Field(
        default={},
        description="Named expressions; triggers share them, results and templates show their values.",
        examples=[{"failures": 'count(event.outcome == "failed", 60s)'}],
    )
    functions: dict[Identifier, Text] = Field(
        default={},
        description="Pure Python functions that expressions may call, by import path.",
        examples=[{"entropy": "acme.scoring:entropy"}],
    )
    context: ContextSettings = Field(default=ContextSettings(), description="What a key remembers for the prompt.")
    triggers: dict[Word, SerializeAsAny[AnyTrigger]] = Field(min_length=1, description="When to reason.")
    limit: LimitOrNone = Field(
        default=None,
        description="At most so many runs with a model, of all triggers and keys, per calendar unit (UTC) or rolling span.",
        examples=["100/hour"],
    )
    models: dict[Word, ModelSettings] = Field(default={}, description="Endpoints that answer, in order of preference.")
    agents: dict[Word, AgentSettings] = Field(default={}, description="What is asked, and what an answer looks like.")
    outputs: OutputSettings = Field(default=OutputSettings(), description="Where results go.")

    @property
    def prefix(self) -> str:
        """What the names of its own topics, its group and its transactional ids begin with."""
        return f"{self.namespace}.{self.name}"

    @property
    def output_topics(self) -> OutputTopics:
        return output_topics(self.outputs, self.prefix)

    @property
    def names_tenants(self) -> bool:
        """Some source says whose its events are."""
        return any(source.tenant is not None for source in self.sources.values())

    def agent_of(self, trigger: str) -> str | None:
        """The agent that a trigger asks, None for `agent: none`. Without a word of its own: the only agent."""
        named = self.triggers[trigger].agent
        if named is not None:
            return None if named == NO_AGENT else named
        return next(iter(self.agents), None)

    def models_of(self, agent: str) -> list[str]:
        """The models that an agent may ask, best first; by default all, in the order of the file."""
        return list(self.agents[agent].models or (name for name, each in self.models.items() if each.kind == CHAT))
