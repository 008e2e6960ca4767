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
from penstock.operators.question import options_in
from penstock.operators.setting import Settings
from penstock.pipelines.fake_evidence import evidence
from penstock.pipelines.fake_schema import explanation, satisfy

SURE = 0.9
"""How likely the simulated model finds the option that it chooses."""


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
    weights = simulated_weights(messages, rules)
    if weights:
        return max(weights, key=lambda option: weights[option])
    rule = rule_for(messages, rules)
    if rule is not None:
        return rule.answer if isinstance(rule.answer, str) else _as_json(rule.answer)
    found = evidence([message.content for message in messages if message.role != "system"])
    return explanation(found) if schema is None else _as_json(satisfy(schema, found))


def rule_for(messages: Sequence[Message], rules: Sequence[Rule]) -> Rule | None:
    """The first that applies."""
    prompt = "\n".join(message.content for message in messages) if rules else ""
    return next((rule for rule in rules if rule.applies(prompt)), None)


def simulated_weights(messages: Sequence[Message], rules: Sequence[Rule] = ()) -> dict[str, float]:
    """How likely each option is, where the question is which of a few fits a text; else nothing.

    A rule answers with an option, or with a map of them. Otherwise it is the first one that the text names, or else the first.
    """
    options = options_in(messages[0].content) if messages else []
    if not options:
        return {}
    rule = rule_for(messages[1:], rules)
    if rule is not None and isinstance(rule.answer, dict):
        return {option: float(rule.answer.get(option, 0)) for option in options}
    text = "\n".join(message.content for message in messages[1:]).casefold()
    named = [option for option in options if option.casefold() in text]
    chosen = str(rule.answer) if rule is not None else [*named, options[0]][0]
    return {option: SURE if option == chosen else (1 - SURE) / (len(options) - 1) for option in options}


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
