"""The spec: defaults, kinds of triggers, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.load import Loaded, load_pipeline
from penstock.pipelines.not_yet import LATER, Later
from penstock.pipelines.problem import Problem
from penstock.pipelines.spec import Spec

HEAD = "penstock: v1\nname: p\nsources: {s: {topic: t}}\n"
RULE = "triggers: {r: {each: 'event.a == 1', agent: none}}\n"


def load(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={})


def spec(tmp_path: Path, text: str) -> Spec:
    loaded = load(tmp_path, text)
    assert loaded.spec is not None, [problem.to_text() for problem in loaded.problems]
    return loaded.spec


def only(tmp_path: Path, text: str) -> Problem:
    (problem,) = load(tmp_path, text).problems
    return problem


def told(tmp_path: Path, text: str) -> tuple[int, int, str]:
    problem = only(tmp_path, text)
    return problem.place.line, problem.place.column, problem.sentence()


def test_rules_alone_are_a_pipeline(tmp_path: Path) -> None:
    found = spec(tmp_path, HEAD + RULE)
    assert found.agent_of("r") is None
    assert (found.namespace, found.version, found.prefix) == ("dev", "local", "dev.p")
    assert found.kafka.bootstrap == "localhost:9092"
    assert (found.kafka.session_timeout, found.kafka.transaction_timeout) == (10_000, 15_000)


def test_topics_are_named_after_the_pipeline_unless_they_are_named(tmp_path: Path) -> None:
    text = HEAD + RULE + "namespace: prod\n"
    topics = spec(tmp_path, text).output_topics
    assert (topics.results, topics.partials, topics.previews, topics.dead) == (
        "prod.p.results", "prod.p.partials", "prod.p.previews", "prod.p.dead",
    )  # fmt: skip
    topics = spec(
        tmp_path, text + "outputs: {results: r, partials: {topic: a, preview: b}, dead: {topic: d}}"
    ).output_topics
    assert (topics.results, topics.partials, topics.previews, topics.dead) == ("r", "a", "b", "d")
    assert spec(tmp_path, text + "outputs: {partials: a}").output_topics.previews == "prod.p.previews"


def test_the_only_agent_is_asked_and_may_ask_all_models_in_order(tmp_path: Path) -> None:
    text = HEAD + "triggers: {a: {every: 1h}, b: {every: 1h, agent: none}}\nagents: {x: {ask: Well?}}\n"
    text += "models: {m2: {base_url: 'http://localhost', model: m}, m1: {base_url: 'http://localhost', model: m}}\n"
    found = spec(tmp_path, text)
    assert (found.agent_of("a"), found.agent_of("b")) == ("x", None)
    assert found.models_of("x") == ["m2", "m1"]
    assert spec(tmp_path, text.replace("Well?", "Well?, models: [m1]")).models_of("x") == ["m1"]


def test_a_version_like_a_date_is_text(tmp_path: Path) -> None:
    assert spec(tmp_path, HEAD + RULE + "version: 2026-11-20\n").version == "2026-11-20"


LEAST = {
    "every": "every: 1h",
    "cron": "cron: 0 * * * *",
    "when": "when: 'count(event.a == 1, 1m) > 2'",
    "absence": "absence: event.a == 1, for: 1m",
    "anomaly": "anomaly: event.a",
    "semantic": "semantic: event.a, model: m, options: [x, y], is: x",
    "sequence": "sequence: [{where: event.a == 1}]",
    "after": "after: a",
    "any": "any: [s]",
    "all": "all: [s, t], within: 1m",
}
"""What a trigger needs besides its kind word, or in its place."""
ASKED = "models: {m: {base_url: 'http://localhost:8000/v1', model: x}}\nagents: {a: {ask: What?}}\n"


@pytest.mark.parametrize("word", sorted(TRIGGERS))
def test_the_kind_word_decides_the_settings(tmp_path: Path, word: str) -> None:
    trigger = LEAST.get(word, f"{word}: event.a == 1")
    others = "".join(f"  {name}: {{each: event.a, agent: none}}\n" for name in "st")
    found = spec(tmp_path, HEAD + f"triggers:\n  r: {{{trigger}, agent: none}}\n{others}{ASKED}")
    assert type(found.triggers["r"]) is TRIGGERS[word]


def test_a_field_that_the_file_lacks_is_told_at_its_beginning(tmp_path: Path) -> None:
    assert told(tmp_path, "# a comment\n" + HEAD.removeprefix("penstock: v1\n") + RULE) == (
        2,
        1,
        "the file lacks `penstock`",
    )


def test_a_missing_field_stands_at_the_name_of_the_thing_that_lacks_it(tmp_path: Path) -> None:
    text = HEAD + RULE + "models:\n  small: {model: x}\n"
    assert told(tmp_path, text) == (6, 3, "`small` lacks `base_url`")


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        (HEAD + RULE.replace("triggers", "trigers"), "triggers"),
        (HEAD + RULE + "models: {small: {base_ulr: 'http://localhost:8000/v1', model: x}}\n", "base_url"),
    ],
)
def test_a_field_that_is_missing_because_its_name_is_misspelt_is_one_mistake(
    tmp_path: Path, text: str, nearest: str
) -> None:
    assert only(tmp_path, text).nearest == nearest


def test_an_unknown_field_gets_the_nearest_name(tmp_path: Path) -> None:
    text = HEAD + RULE + "context:\n  windw: {last: 30m}\n"
    assert told(tmp_path, text) == (
        6, 3, 'unknown field "windw"; expected one of window, evict, summary, forget; did you mean "window"?',
    )  # fmt: skip


def test_a_field_of_another_kind_of_trigger_is_unknown(tmp_path: Path) -> None:
    problem = only(tmp_path, HEAD + "triggers:\n  r: {each: event.a == 1, until: event.a == 2, agent: none}\n")
    message = 'unknown field "until" of `each`: it goes with `when`'
    assert (problem.place.line, problem.place.column, problem.message) == (5, 27, message)


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("every: 1h, for: 5m", 'unknown field "for" of `every`: it goes with `when` and `absence`'),
        ("each: event.a == 1, for: 5m", 'unknown field "for" of `each`: it goes with `when` and `absence`'),
        ("each: event.a == 1, keep_firing_for: 5m", 'unknown field "keep_firing_for" of `each`: it goes with `when`'),
        ("when: event.a == 1, debounce: 5m", 'unknown field "debounce" of `when`: it goes with `each`'),
        (
            "every: 1h, cooldown: 5m",
            (
                'unknown field "cooldown" of `every`: '
                "it goes with `each`, `when`, `sequence`, `absence`, `anomaly`, `semantic`, `any` and `all`"
            ),
        ),
        (
            "every: 1h, fire: arrival",
            'unknown field "fire" of `every`: it goes with `each`, `when`, `sequence` and `absence`',
        ),
        (
            "absence: event.a == 1, for: 5m, until: event.a == 2",
            'unknown field "until" of `absence`: it goes with `when`',
        ),
    ],
)
def test_a_modifier_of_another_kind_says_which_kind_has_it(tmp_path: Path, trigger: str, message: str) -> None:
    problems = load(tmp_path, HEAD + f"triggers:\n  r: {{{trigger}, agent: none}}\n").problems
    assert message in [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("trigger", "column", "sentence"),
    [
        ("when: event.a == 1, for: 0s", 32, "`for` is '0s'; expected more than 0"),
        ("when: event.a == 1, for: 5", 32, "`for`: 5 has no unit; write it with one, such as 90s"),
        ("when: event.a == 1, keep_firing_for: 0s", 44, "`keep_firing_for` is '0s'; expected more than 0"),
        ("each: event.a == 1, debounce: 0s", 37, "`debounce` is '0s'; expected more than 0"),
        ("absence: event.a == 1, for: 0s", 35, "`for` is '0s'; expected more than 0"),
    ],
)
def test_a_wait_takes_time(tmp_path: Path, trigger: str, column: int, sentence: str) -> None:
    text = HEAD + f"triggers:\n  r: {{{trigger}, agent: none}}\n"
    assert told(tmp_path, text) == (5, column, sentence)


def test_an_absence_lasts(tmp_path: Path) -> None:
    text = HEAD + "triggers:\n  r: {absence: event.a == 1, agent: none}\n"
    assert told(tmp_path, text) == (5, 7, "`absence` lacks `for`")


@pytest.mark.parametrize(
    ("trigger", "column", "sentence"),
    [
        (
            "absence: event.a == 1, for: 1m, fire: arrival",
            45,
            "an absence has no arrival to fire at; write `watermark`, or leave it out",
        ),
        (
            "each: event.a == 1, fire: watermark",
            33,
            "what `watermark` would mean here is not defined yet; write `arrival`, or leave it out",
        ),
        ("when: 'count(true, 1m) > 2', fire: watermak", 42, "`fire` is 'watermak'; expected arrival"),
    ],
)
def test_a_trigger_fires_in_the_way_of_its_kind(tmp_path: Path, trigger: str, column: int, sentence: str) -> None:
    problem = only(tmp_path, HEAD + f"triggers:\n  r: {{{trigger}, agent: none}}\n")
    assert (problem.place.line, problem.place.column) == (5, column), problem.to_text()
    assert problem.sentence().endswith(sentence)


@pytest.mark.parametrize(
    "trigger",
    ["absence: event.a == 1, for: 1m, fire: watermark", "each: event.a == 1, fire: arrival"],
)
def test_the_way_of_its_kind_may_be_said(tmp_path: Path, trigger: str) -> None:
    assert load(tmp_path, HEAD + f"triggers:\n  r: {{{trigger}, agent: none}}\n").problems == []


@pytest.mark.parametrize(
    ("line", "column", "sentence"),
    [
        ("name: SSH", 7, "is not a name"),
        ("labels: {a: 5}", 13, "put it in quotes"),
        ("labels: [a]", 1, "`labels` is a list; expected a map"),
        ("kafka: {tls: 'yes'}", 14, "`tls` is 'yes'; expected true or false or a map"),
        ("kafka: {tls: {ca: a, cert: b}}", 9, "`cert` and `key` go together"),
        ("kafka: {session_timeout: 10}", 26, "has no unit"),
        ("kafka: {client: librdkafka}", 17, "expected aiokafka"),
        ("outputs: {results: a b}", 20, "not a topic's name"),
        ("outputs: {partials: {topic: a, previw: b}}", 32, 'did you mean "preview"?'),
        ("define: {a-b: event.x}", 10, "cannot be named in an expression"),
        ("context: {window: {events: 0}}", 28, "`events` is 0; expected at least 1"),
        ("context: {summary: rules}", 20, 'did you mean "rule"?'),
        ("models: {'a b': {base_url: 'http://localhost', model: x}}", 10, "is not a name"),
    ],
)
def test_a_wrong_value_is_told_where_it_stands(tmp_path: Path, line: str, column: int, sentence: str) -> None:
    text = HEAD.replace("name: p\n", "") if line.startswith("name") else HEAD
    lines = (text + RULE).count("\n") + 1
    problem = only(tmp_path, text + RULE + line + "\n")
    assert (problem.place.line, problem.place.column) == (lines, column), problem.to_text()
    assert sentence in problem.sentence()


def test_text_where_a_map_or_a_word_may_stand_is_one_problem(tmp_path: Path) -> None:
    problem = only(tmp_path, HEAD.replace("topic: t", "topic: t, format: jsonn") + RULE)
    assert problem.place.column == 33


@pytest.mark.parametrize(
    ("trigger", "column", "sentence"),
    [
        (
            "{agent: none}",
            3,
            "trigger `r` does not say when it fires; expected one of `each`, `when`, ",
        ),
        ("{evry: 1h, agent: none}", 3, 'did you mean "every"?'),
        (
            "{each: event.a == 1, every: 1h, agent: none}",
            27,
            "trigger `r` has two kinds, `each` and `every`; expected exactly one of",
        ),
        ("{each: event.a == 1, sequence: []}", 27, "has two kinds"),
    ],
)
def test_a_trigger_is_of_exactly_one_kind(tmp_path: Path, trigger: str, column: int, sentence: str) -> None:
    problem = only(tmp_path, HEAD + f"triggers:\n  r: {trigger}\n")
    assert (problem.place.line, problem.place.column) == (5, column), problem.to_text()
    assert sentence in problem.sentence()


@pytest.mark.parametrize("later", LATER, ids=lambda later: later.pattern)
def test_every_word_of_a_later_version_says_so(tmp_path: Path, later: Later) -> None:
    value = next(iter(later.only), "anything")
    text = nested(later.pattern.replace("*", "r").split("."), value)
    expected = f"comes with version {later.version}; this is 0.1"
    messages = [problem.message for problem in load(tmp_path, text).problems]
    assert any(expected in message for message in messages), messages


def nested(path: list[str], value: str) -> str:
    inner = value
    for name in reversed(path):
        inner = f"{{{name}: {inner}}}"
    return inner.replace("{r: {", "{r: {each: 'event.a == 1', ", path[0] == "triggers")


@pytest.mark.parametrize("line", ["loop: once", "stale: queue"])
def test_what_this_version_does_anyway_may_be_said(tmp_path: Path, line: str) -> None:
    text = HEAD + "triggers: {r: {every: 1h}}\nmodels: {m: {base_url: 'http://localhost', model: m}}\n"
    assert load(tmp_path, text + f"agents: {{a: {{ask: Well?, {line}}}}}\n").problems == []
