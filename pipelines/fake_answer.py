"""What the simulated model answers: a rule that somebody wrote, else the generic rules over the prompt's evidence.

- when: Failed password            # a text that the prompt holds
  answer: {verdict: attack, why: repeated failures}
- matches: 'user=(root|admin)'     # or a regular expression (RE2)
  answer: Somebody tries root.
- answer: {verdict: unclear}       # neither: always
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import re2
from pydantic import TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from penstock.operators.error import Rejected
from penstock.operators.event import Message
from penstock.operators.setting import Settings
from penstock.pipelines.fake_evidence import evidence
from penstock.pipelines.fake_schema import explanation, satisfy


class Rule(Settings):
    """One answer of an answers file. An answer that is no text is given as JSON; it is *not* held to the request's schema."""

    when: str | None = None
    matches: str | None = None
    answer: Any

    @model_validator(mode="after")
    def _one_condition(self) -> Rule:
        if self.when is not None and self.matches is not None:
            raise ValueError("a rule has `when` or `matches`, not both")
        if self.matches is not None:
            try:
                re2.compile(self.matches)
            except re2.error as error:
                raise ValueError(f"{self.matches!r} is no RE2 expression: {error}") from error
        return self

    def applies(self, prompt: str) -> bool:
        if self.matches is not None:
            return re2.search(self.matches, prompt) is not None
        return self.when is None or self.when in prompt


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of an answers file, first match wins. Raises Rejected."""
    remedy = "write a list of {when: text, answer: …}"
    try:
        return TypeAdapter(tuple[Rule, ...]).validate_python(YAML(typ="safe", pure=True).load(path))
    except (OSError, YAMLError) as error:
        raise Rejected(f"cannot be read: {error}", where=str(path), remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Rejected(f"{place}: {first['msg']}", where=str(path), remedy=remedy) from error


def simulated_answer(messages: Sequence[Message], schema: Mapping[str, Any] | None, rules: Sequence[Rule] = ()) -> str:
    """The answer to this prompt, equal every time. Raises fake_schema.Unsupported."""
    if rules:
        prompt = "\n".join(message.content for message in messages)
        rule = next((rule for rule in rules if rule.applies(prompt)), None)
        if rule is not None:
            return rule.answer if isinstance(rule.answer, str) else _as_json(rule.answer)
    found = evidence([message.content for message in messages if message.role != "system"])
    return explanation(found) if schema is None else _as_json(satisfy(schema, found))


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
