"""The table of trigger kinds: the word in the file, and the settings that go with it."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.operators.trigger import TriggerSettings
from penstock.operators.trigger_each import EachSettings
from penstock.operators.trigger_every import EverySettings
from penstock.operators.trigger_when import WhenSettings

TRIGGERS: Mapping[str, type[TriggerSettings]] = {"each": EachSettings, "when": WhenSettings, "every": EverySettings}
