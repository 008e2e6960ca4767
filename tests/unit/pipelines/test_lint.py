"""Rules about things that do not fit each other, each at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import Code, Problem

BASE = """\
penstock: v1
name: p
sources:
  s: {topic: t, key: event.host}
define:
  failed: event.outcome == "failed"
  failures: count(failed, 60s)
triggers:
  burst: {when: failures > 5, agent: ask}
models:
  m: {base_url: "http://localhost:8000/v1", model: x}
agents:
  ask: {ask: Well?}
"""


def problems(tmp_path: Path, text: str) -> list[Problem]:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_pipeline([path], environ={"VAR": "a longer text"}).problems


def with_lines(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


def test_the_base_of_these_tests_is_fine(tmp_path: Path) -> None:
    assert problems(tmp_path, BASE) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "column"),
    [
        ("key: event.host", "key: evnt.host", Code.EXPRESSION, 4, 22),
        ("key: event.host", "ignore: failures > 3", Code.EXPRESSION, 4, 25),
        ("key: event.host", "key: key", Code.EXPRESSION, 4, 22),
        ("key: event.host", "key: [event.a, key]", Code.EXPRESSION, 4, 32),
        ("key: event.host", "time: {at: record.time}", Code.EXPRESSION, 4, 35),
        ("key: event.host", "derive: {a: 'source + key'}", Code.EXPRESSION, 4, 39),
        ("key: event.host", "ignore: event.a + 1", Code.EXPRESSION, 4, 25),
        ("count(failed, 60s)", "count(faild, 60s)", Code.EXPRESSION, 7, 19),
        ("count(failed, 60s)", "count(failed, 60)", Code.EXPRESSION, 7, 27),
        ('== "failed"', '== "failed', Code.EXPRESSION, 6, 28),
        ("failed: event", "key: event.a\n  failed: event", Code.RESERVED_NAME, 6, 3),
        ("when: failures > 5", "each: failures > 5", Code.EXPRESSION, 9, 17),
        ("when: failures > 5", "when: failed", Code.USE_EACH, 9, 11),
        ("agent: ask}", "agent: aks}", Code.UNRESOLVED, 9, 38),
        ("agent: ask}", "agent: ask, from: t}", Code.UNRESOLVED, 9, 49),
        ("agent: ask}", "agent: ask, from: [s, t]}", Code.UNRESOLVED, 9, 53),
        ("agent: ask}", "agent: ask, from: [s]}", None, 0, 0),
        ("agent: ask}", "agent: ask, by: event.ip}", None, 0, 0),
        ("agent: ask}", "agent: ask, by: failures}", Code.EXPRESSION, 9, 47),
        ("agent: ask}", "agent: ask}\n  hourly: {every: 1h, by: event.ip, agent: none}", Code.UNKNOWN_FIELD, 10, 23),
        ("ask: Well?", "ask: Well?, models: [m, n]", Code.UNRESOLVED, 13, 33),
        ("agents:\n  ask: {ask: Well?}", "", Code.UNRESOLVED, 9, 38),
        ('models:\n  m: {base_url: "http://localhost:8000/v1", model: x}\n', "", Code.UNRESOLVED, 11, 3),
        ("agents:\n", "agents:\n  none: {ask: Well?}\n", Code.RESERVED_NAME, 13, 3),
        (", agent: ask}", "}\n  other: {every: 1h, agent: ask}\nx-a: 1", None, 0, 0),
        ("triggers:", "context: {forget: 1m}\ntriggers:", None, 0, 0),
        ("count(failed, 60s)", "count(failed, 1h)\ncontext: {forget: 1m}", Code.FORGETS_TOO_SOON, 7, 27),
        ("agent: ask}", "agent: ask, cooldown: 2m}\ncontext: {forget: 1m}", Code.FORGETS_TOO_SOON, 9, 53),
        ("triggers:", "context: {forget: 1m}\ntriggers:\n  o: {every: 1h}", Code.FORGETS_TOO_SOON, 10, 14),
        ("agent: ask}", "agent: ask, for: 2m}\ncontext: {forget: 1m}", Code.FORGETS_TOO_SOON, 9, 48),
        ("agent: ask}", "agent: ask, for: 1m}\ncontext: {forget: 1m}", None, 0, 0),
        (
            "key: event.host",
            "key: event.host, dedupe: {by: event.id, within: 2m}}\ncontext: {forget: 1m",
            Code.FORGETS_TOO_SOON,
            4,
            65,
        ),
        (
            "key: event.host",
            "key: event.host, show_every: 2m}\ncontext: {forget: 1m",
            Code.FORGETS_TOO_SOON,
            4,
            46,
        ),
        ("triggers:", "context: {window: {session: 2m}, forget: 1m}\ntriggers:", Code.FORGETS_TOO_SOON, 8, 29),
        ("triggers:", "context: {window: {session: 2m}, forget: 2m}\ntriggers:", None, 0, 0),
        ("triggers:", "context: {window: {session: 2h, last: 1h}}\ntriggers:", Code.WRONG_VALUE, 8, 11),
        ("agent: ask}", "agent: ask, keep_firing_for: 2m}\ncontext: {forget: 1m}", Code.FORGETS_TOO_SOON, 9, 60),
        (
            "triggers:",
            "context: {forget: 1m}\ntriggers:\n  o: {each: failed, debounce: 2m}",
            Code.FORGETS_TOO_SOON,
            10,
            31,
        ),
        (
            "agent: ask}",
            "agent: ask}\n  o: {absence: failed, for: 2m}\ncontext: {forget: 1m}",
            Code.FORGETS_TOO_SOON,
            10,
            29,
        ),
        ("agent: ask}", "agent: ask}\n  o: {absence: failed, for: 1m}\ncontext: {forget: 1m}", None, 0, 0),
        ("when: failures > 5", "absence: failures > 5, for: 1m", Code.EXPRESSION, 9, 20),
        ("triggers:", "context: {forget: 1w}\ntriggers:\n  o: {every: 1w}", None, 0, 0),
        ("triggers:", "context: {forget: 1d}\ntriggers:\n  o: {every: 1d, zone: Asia/Kolkata}", None, 0, 0),
        (
            "triggers:",
            "context: {forget: 1d}\ntriggers:\n  o: {every: 1d, zone: Europe/Berlin}",
            Code.FORGETS_TOO_SOON,
            10,
            14,
        ),
        ("triggers:", "context: {forget: 48h}\ntriggers:\n  o: {cron: 0 6 * * MON-SAT}", None, 0, 0),
        ("triggers:", "context: {forget: 47h}\ntriggers:\n  o: {cron: 0 6 * * 1-6}", Code.FORGETS_TOO_SOON, 10, 13),
        ("triggers:", "context: {forget: 1h}\ntriggers:\n  o: {cron: 0 6 * *}", Code.WRONG_VALUE, 10, 13),
        (
            "triggers:",
            "outputs: {latest: {topic: o, keep: 2m}}\ncontext: {forget: 1m}\ntriggers:",
            Code.FORGETS_TOO_SOON,
            8,
            36,
        ),
        ("triggers:", "outputs: {latest: {topic: o, keep: 1m}}\ncontext: {forget: 1m}\ntriggers:", None, 0, 0),
        ("triggers:", "outputs: {latest: {keep: 1m}}\ntriggers:", Code.MISSING_FIELD, 8, 11),
        ("triggers:", "outputs: {latest: {topic: o, keep: 5}}\ntriggers:", Code.WRONG_VALUE, 8, 36),
        ("ask: {ask: Well?}", "ask: {ask: Well?}\n  b: {ask: Well?}\n  c: {ask: '{{ ky }}'}", Code.TEMPLATE, 15, 16),
        ("Well?", "'{{ values.failurs }}'", Code.TEMPLATE, 13, 18),
        ("Well?", "'{{ key'", Code.TEMPLATE, 13, 15),
        ("ask: {ask: Well?}", "ask:\n    ask: |\n      Well, {{ key }},\n      what {% if %}", Code.TEMPLATE, 16, 7),
        ("key: event.host}", "key: event.host}\n  u: {topic: t}", Code.SAME_TOPIC, 5, 14),
        ("topic: t,", "topic: a/b,", Code.WRONG_VALUE, 4, 14),
        ("key: event.host", "format: {text: ['a(?=b)']}", Code.WRONG_VALUE, 4, 33),
        ("Well?}", "Well?, answer: {a: {type: strin}}}", Code.ANSWER_SCHEMA, 13, 30),
        ("Well?}", "Well?, answer: {a: {enum: [x]}}, fallback: {a: y}}", Code.WRONG_VALUE, 13, 3),
    ],
)
def test_a_mistake_is_told_once_and_where_it_stands(
    tmp_path: Path, old: str, new: str, code: Code | None, line: int, column: int
) -> None:
    found = problems(tmp_path, with_lines(old, new))
    expected = [(code, line, column)] if code is not None else []
    assert [(problem.code, problem.place.line, problem.place.column) for problem in found] == expected


def test_the_nearest_name_is_offered(tmp_path: Path) -> None:
    for old, new, nearest in [
        ("failures > 5", "failurs > 5", "failures"),
        ("agent: ask}", "agent: aks}", "ask"),
        ("agent: ask}", "agent: ask, from: ss}", "s"),
        ("Well?", "'{{ values.failurs }}'", "failures"),
        ("Well?", "'{{ ky }}'", "key"),
    ]:
        (problem,) = problems(tmp_path, with_lines(old, new))
        assert problem.nearest == nearest


def test_a_broken_definition_is_told_once_however_often_it_is_named(tmp_path: Path) -> None:
    text = with_lines("count(failed, 60s)", "count(failed, 60s) +").replace("agents:", "x-1: 1\nagents:")
    text = text.replace("failures > 5", "failures > 5 && failures < 9, until: failures < 2")
    assert [(problem.code, problem.place.line) for problem in problems(tmp_path, text)] == [(Code.EXPRESSION, 7)]


def test_a_cycle_is_told_at_its_first_member(tmp_path: Path) -> None:
    text = with_lines("  failed: event", "  a: b + 1\n  b: c + 1\n  c: 1 + a\n  failed: event")
    (problem,) = problems(tmp_path, text)
    assert (problem.place.line, problem.message) == (6, "`a` is defined by itself: a → b → c → a")


def test_several_agents_need_a_choice(tmp_path: Path) -> None:
    text = with_lines(", agent: ask}", "}").replace("agents:\n", "agents:\n  other: {ask: Well?}\n")
    (problem,) = problems(tmp_path, text)
    assert (problem.code, problem.place.line, problem.place.column) == (Code.WHICH_AGENT, 9, 3)


def test_no_agent_needs_the_word_none(tmp_path: Path) -> None:
    text = with_lines(", agent: ask}", "}").replace("agents:\n  ask: {ask: Well?}\n", "")
    (problem,) = problems(tmp_path, text)
    assert problem.code is Code.WHICH_AGENT
    assert "`agent: none`" in problem.sentence()


def test_whatever_lasts_longer_than_a_key_is_remembered_is_told_with_a_way_out(tmp_path: Path) -> None:
    text = with_lines("triggers:", "context: {forget: 30s}\ntriggers:\n  any: {each: failed, agent: ask}")
    span, cooldown = problems(tmp_path, text)
    assert (span.place.line, span.place.column, cooldown.place.line, cooldown.place.column) == (7, 27, 11, 3)
    why = "is longer than `forget`: the key would be forgotten before it is over"
    assert span.sentence() == (
        f"the span of `count`, 1m, {why}; expected a span of 30s at most, or `context.forget` of 1m or more"
    )
    assert cooldown.sentence() == (
        f"the cooldown of trigger `burst`, which is 1m unless it says otherwise, {why}; "
        "expected a `cooldown` of 30s at most, or `context.forget` of 1m or more"
    )


@pytest.mark.parametrize("lasting", ["until: event.outcome == 'ok'", "for: 5m", "keep_firing_for: 5m"])
def test_a_when_without_a_span_is_fine_if_it_begins_and_ends_something(tmp_path: Path, lasting: str) -> None:
    assert problems(tmp_path, with_lines("when: failures > 5", f"when: failed, {lasting}")) == []


def test_an_expression_that_a_comment_cuts_is_explained(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, with_lines('== "failed"', '== "failed #1"'))
    assert problem.code is Code.EXPRESSION
    assert "beginning of a comment" in problem.message


@pytest.mark.parametrize(
    ("trigger", "warned"),
    [
        ("when: failures > 5, until: 'failures / count(event.a, 1m) < 0.1'", True),
        ("when: failures > 5, until: 'count(event.a, 1m) == 0 || failures / count(event.a, 1m) < 0.1'", False),
        ("when: '1 / failures > 5'", True),
        ("when: '1 / failures > 5 && failures > 2'", False),
        ("when: 'failures / 2 > 5'", False),
    ],
)
def test_an_episode_that_silence_cannot_end_is_a_warning(tmp_path: Path, trigger: str, warned: bool) -> None:
    found = problems(tmp_path, with_lines("when: failures > 5", trigger))
    assert [(problem.code, problem.severity) for problem in found] == (
        [(Code.NEVER_RESOLVES, "warning")] if warned else []
    )


@pytest.mark.parametrize(
    ("model", "warned"),
    [
        ('base_url: "http://10.0.0.1/v1", location: local, api_key: k', True),
        ('base_url: "http://10.0.0.1/v1", location: local', False),
        ('base_url: "https://api.example.com/v1", api_key: k', False),
        ('base_url: "http://127.0.0.1:8000/v1", api_key: k', False),
    ],
)
def test_a_key_over_plain_http_is_a_warning(tmp_path: Path, model: str, warned: bool) -> None:
    found = problems(tmp_path, with_lines('base_url: "http://localhost:8000/v1"', model))
    assert [problem.code for problem in found] == ([Code.KEY_OVER_HTTP] if warned else [])


@pytest.mark.parametrize(
    ("value", "line", "column"),
    [
        ("'event.a == ''b'' && evnt.c'", 6, 32),
        ('"event.a == \\"b\\" && evnt.c"', 6, 32),
        ("|\n    event.a == 'b'\n    && evnt.c", 8, 8),
        (">-\n    event.a == 'b' &&\n    evnt.c", 8, 5),
        ("event.a == 'b'\n    && evnt.c", 7, 8),
        ("event.a == '${VAR}' && evnt.c", 6, 34),
    ],
)
def test_the_caret_stands_under_the_mistake_in_every_style(tmp_path: Path, value: str, line: int, column: int) -> None:
    (problem,) = problems(tmp_path, with_lines('event.outcome == "failed"', value))
    assert (problem.place.line, problem.place.column) == (line, column), problem.to_text()


@pytest.mark.parametrize(
    ("outputs", "column"),
    [
        ("{results: t}", 20),
        ("{results: r, partials: r}", 33),
        ("{results: r, partials: {topic: p, preview: r}}", 53),
        ("{partials: p, dead: {topic: p}}", 38),
        ("{results: r, partials: p, dead: d}", None),
    ],
)
def test_an_output_shares_its_topic_with_nothing(tmp_path: Path, outputs: str, column: int | None) -> None:
    """Dead letters on their own source would be read and die again, for ever."""
    found = problems(tmp_path, f"{BASE}outputs: {outputs}\n")
    expected = [] if column is None else [(Code.SAME_TOPIC, 14, column)]
    assert [(problem.code, problem.place.line, problem.place.column) for problem in found] == expected


def test_a_template_names_a_tenant_only_where_a_source_says_whose_its_events_are(tmp_path: Path) -> None:
    text = with_lines("ask: Well?", "ask: 'So {{ tenant }}?'")
    (problem,) = problems(tmp_path, text)
    assert (problem.code, problem.place.line, problem.place.column) == (Code.TEMPLATE, 13, 21)
    assert problem.message == "there is no `tenant` here: no source says whose its events are"
    assert problems(tmp_path, text.replace("key: event.", "tenant: event.whose, key: event.")) == []


ROUTED = BASE.replace("agent: ask}", "agent: ask, labels: {severity: page}}").replace(
    "ask: Well?}", "ask: Well?, answer: {verdict: {type: string}}}"
)


@pytest.mark.parametrize(
    ("outputs", "column"),
    [
        ("{latest: t}", 19),
        ("{latest: {topic: dev.p.log, keep: 1h}}", 27),
        ("{results: r, latest: r}", 31),
        ("{routes: [{topic: t, where: 'true'}]}", 28),
        ("{routes: [{topic: dev.p.log, where: 'true'}]}", 28),
        ("{routes: [{topic: dev.p.results, where: 'true'}]}", 28),
        ("{routes: [{topic: a, where: 'true'}, {topic: l, where: 'true'}], latest: l}", 55),
        (
            "{routes: [{topic: a, where: 'true'}, {topic: a, where: 'true'}], results: dev.p.partials, partials: p}",
            None,
        ),
        ("{routes: [{topic: a b, where: 'true'}]}", 28),
        ("{dead: dev.p.previews}", 17),
    ],
)
def test_a_further_output_has_a_topic_that_nothing_else_has_but_another_route(
    tmp_path: Path, outputs: str, column: int | None
) -> None:
    found = problems(tmp_path, f"{BASE}outputs: {outputs}\n")
    assert [(problem.place.line, problem.place.column) for problem in found] == (
        [] if column is None else [(14, column)]
    )
    assert {problem.code for problem in found} <= {Code.SAME_TOPIC, Code.WRONG_VALUE}


def test_a_source_that_is_an_output_by_default_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, with_lines("topic: t", "topic: dev.p.results"))
    assert (problem.code, problem.message) == (
        Code.SAME_TOPIC,
        "the topic `dev.p.results` is written as `outputs.results` already",
    )


@pytest.mark.parametrize(
    ("where", "column", "message", "nearest"),
    [
        ("lables.severity == \"page\"", 35, "nothing here is called `lables`; a route sees the fields of the result", "labels"),
        ("event.x == 1", 35, "nothing here is called `event`; a route sees", None),
        ("failures > 3", 35, "nothing here is called `failures`; a route sees", None),
        ("count(state == \"final\", 5m) > 3", 35, "`count` looks back over a span", None),
        ("key", 35, "a condition is true or false, and this is a text", None),
        ("rev + 1", 35, "a condition is true or false, and this is a number", None),
        ("labels.sevrity == \"page\"", 42, "the `labels` of a result has no `sevrity`", "severity"),
        ("labels[\"sevrity\"] == \"page\"", 42, "the `labels` of a result has no `sevrity`", "severity"),
        ("answer.verdct == \"stop\"", 42, "the `answer` of a result has no `verdct`", "verdict"),
        ("has(episode.state)", 47, "the `episode` of a result has no `state`", "status"),
        ("annotations.summary == \"\"", 47, "the `annotations` of a result has no `summary`", None),
        ("why.values.failures > 3 && usage.cost < 1 && episode.ends_at == null", None, "", None),
        ("labels.severity == \"page\" && state in [\"final\", \"resolved\"] || answer.verdict == \"stop\"", None, "", None),
        ("tenant == \"acme\" || by == null || !simulated", None, "", None),
    ],
)  # fmt: skip
def test_a_route_names_what_a_result_has(
    tmp_path: Path, where: str, column: int | None, message: str, nearest: str | None
) -> None:
    found = problems(tmp_path, f"{ROUTED}outputs:\n  routes: [{{topic: pages, where: '{where}'}}]\n")
    if column is None:
        assert found == []
        return
    (problem,) = found
    assert (problem.code, problem.place.line, problem.place.column) == (Code.EXPRESSION, 15, column)
    assert problem.message.startswith(message)
    assert problem.nearest == nearest


def test_an_answer_that_stands_in_a_file_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text('{"type": "object", "properties": {"x": {"type": "string"}}}')
    text = BASE.replace("ask: Well?}", "ask: Well?, answer: {file: answer.json}}")
    assert problems(tmp_path, f"{text}outputs:\n  routes: [{{topic: pages, where: 'answer.x == \"y\"'}}]\n") == []
