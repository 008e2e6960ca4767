"""What the log keeps of a definition, so that runs in flight finish on it: its agents, as they stand in the file.

    file ─▶ definition_text ─▶ log (Basis.definitions) ─▶ another file, another process ─▶ Reviver ─▶ AgentPlan

Kept is what decides about an answer: texts, schema, limits, fallback, and which models by their names in the file. What a
name stands for (address, key, parameters, price) is looked up in the present file: a run does not keep an old server alive.
What came from `${file:…}` is a secret, and no secret goes into the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from penstock.operators.agent_plan import AgentPlan, AgentSettings, build_agent
from penstock.operators.error import Rejected
from penstock.operators.model import ModelSettings
from penstock.pipelines.attachment import references
from penstock.pipelines.document import Json, Map, plain_value
from penstock.pipelines.spec import Spec

SECRET = "\0"
"""Stands for a secret; no file can hold this character."""


def definition_text(spec: Spec, root: Map, files: Mapping[str, str]) -> str:
    """The agents of a document without errors, as JSON. `files` are the contents of those that it refers to."""
    agents = plain_value(root.get("agents") or Map({}, root.place), secret=lambda _: SECRET)
    assert isinstance(agents, dict), "the spec has been checked"
    named: dict[str, dict[str, Json]] = {name: {} for name in agents}
    for path, reference in references(root):
        if path[0] == "agents":
            named[str(path[1])][reference.text] = files[reference.text]
    parts = {name: [{**_map(agent), "models": [*spec.models_of(name)]}, named[name]] for name, agent in agents.items()}
    return json.dumps(parts, separators=(",", ":"))


def _map(agent: Json) -> dict[str, Json]:
    assert isinstance(agent, dict), "the spec has been checked"
    return agent


class Reviver:
    """Makes agents of former definitions for those who run by the present one."""

    def __init__(self, present: str, agents: Mapping[str, AgentPlan], models: Mapping[str, ModelSettings]) -> None:
        self._present, self._agents, self._models = json.loads(present), agents, models

    def __call__(self, text: str, name: str) -> AgentPlan:
        """The agent `name` of the definition with this text. Raises Rejected where it cannot be had any more."""
        part = json.loads(text).get(name)
        if part is None:
            raise Rejected("it had no such agent")
        if part == self._present.get(name):
            return self._agents[name]
        if _holds_secret(part):
            raise Rejected("it has a text from a secret file, which the log does not keep")
        settings, files = part
        return self._built(name, settings, files)

    def _built(self, name: str, settings: dict[str, Any], files: Mapping[str, str]) -> AgentPlan:
        left = [model for model in settings["models"] if model in self._models]
        if not left:
            gone = ", ".join(map(repr, settings["models"]))
            raise Rejected(f"the file has no model {gone} any more")
        try:
            parsed = AgentSettings.model_validate({**settings, "models": left})
            return build_agent(name, parsed, self._models, files.__getitem__)
        except ValueError as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise Rejected(f"this version of Penstock does not understand it: {reason}") from error


def _holds_secret(part: Json) -> bool:
    match part:
        case dict():
            return any(map(_holds_secret, part.values()))
        case list():
            return any(map(_holds_secret, part))
        case _:
            return part == SECRET
