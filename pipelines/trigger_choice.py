"""Which kind of trigger a map is: the one kind word that stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from penstock.operators.trigger import TriggerSettings
from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import Map, Node


def kind_word(trigger: Any) -> str | None:
    """The kind word of a trigger as it stands in the file (or of its settings); None unless there is exactly one."""
    if isinstance(trigger, TriggerSettings):
        return next(word for word, settings in TRIGGERS.items() if type(trigger) is settings)
    words = [word for word in TRIGGERS if isinstance(trigger, Mapping) and word in trigger]
    return words[0] if len(words) == 1 else None


def told_by(trigger: Node) -> list[str]:
    """What the results of a trigger of the file report among `values` besides definitions."""
    word = kind_word(trigger.entries) if isinstance(trigger, Map) else None
    return [] if word is None else sorted(TRIGGERS[word].tells)


class ByKind:
    """Marks settings of which the kind word says the class; in the schema, one of the kinds."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            word: handler.generate_schema(settings) for word, settings in TRIGGERS.items()
        }
        return core_schema.tagged_union_schema(choices, discriminator=kind_word)


AnyTrigger = Annotated[TriggerSettings, ByKind()]
