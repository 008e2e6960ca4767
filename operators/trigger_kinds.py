"""The table of trigger kinds: the word in the file, the settings that go with it, and what builds the trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from penstock.operators import (
    trigger_absence,
    trigger_after,
    trigger_all,
    trigger_anomaly,
    trigger_any,
    trigger_cron,
    trigger_each,
    trigger_every,
    trigger_semantic,
    trigger_sequence,
    trigger_when,
)
from penstock.operators.trigger import Trigger, TriggerSettings


class TriggerKind(NamedTuple):
    settings: type[TriggerSettings]
    build: Callable[[Any, Any], Trigger]
    """(settings, Bind) -> Trigger; the settings are of the class beside it."""


KINDS: Mapping[str, TriggerKind] = {
    "each": TriggerKind(trigger_each.EachSettings, trigger_each.build),
    "when": TriggerKind(trigger_when.WhenSettings, trigger_when.build),
    "sequence": TriggerKind(trigger_sequence.SequenceSettings, trigger_sequence.build),
    "absence": TriggerKind(trigger_absence.AbsenceSettings, trigger_absence.build),
    "anomaly": TriggerKind(trigger_anomaly.AnomalySettings, trigger_anomaly.build),
    "semantic": TriggerKind(trigger_semantic.SemanticSettings, trigger_semantic.build),
    "every": TriggerKind(trigger_every.EverySettings, trigger_every.build),
    "cron": TriggerKind(trigger_cron.CronSettings, trigger_cron.build),
    "after": TriggerKind(trigger_after.AfterSettings, trigger_after.build),
    "any": TriggerKind(trigger_any.AnySettings, trigger_any.build),
    "all": TriggerKind(trigger_all.AllSettings, trigger_all.build),
}

TRIGGERS: Mapping[str, type[TriggerSettings]] = {word: kind.settings for word, kind in KINDS.items()}
