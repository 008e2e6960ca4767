"""What is wrong with a file whose every field is of the right type: things that do not fit each other.

The rules look at the tree, not at the spec, so that they find their mistakes beside those of other parts. A rule takes the
tree and gives problems; it is one line in RULES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import orjson

from penstock.operators.answer import AnswerShape, shape_of_schema
from penstock.operators.answer_schema import AnswerError
from penstock.operators.trigger import NO_AGENT
from penstock.pipelines.attachment import file_named
from penstock.pipelines.document import Map, Node, Scalar, key_place, matching, plain_value
from penstock.pipelines.functions import function_problems
from penstock.pipelines.lint_chain import chain_problems
from penstock.pipelines.lint_combination import combination_problems
from penstock.pipelines.lint_expression import expression_problems
from penstock.pipelines.lint_forget import forget_problems
from penstock.pipelines.lint_format import format_problems
from penstock.pipelines.lint_inhibition import inhibition_problems
from penstock.pipelines.lint_input import input_problems
from penstock.pipelines.lint_outputs import output_topic_problems, route_problems
from penstock.pipelines.lint_rekey import constant_key_problems
from penstock.pipelines.lint_semantic import semantic_problems
from penstock.pipelines.lint_sequence import sequence_problems
from penstock.pipelines.lint_table import table_problems
from penstock.pipelines.lint_template import template_problems
from penstock.pipelines.output_settings import checked_topic
from penstock.pipelines.problem import Code, Problem, nearest_name

_REFERENCES: tuple[tuple[str, str, list[str]], ...] = (
    ("triggers.*.agent", "agents", [NO_AGENT]),
    ("triggers.*.after", "agents", []),
    ("triggers.*.any.*", "triggers", []),
    ("triggers.*.all.*", "triggers", []),
    ("agents.*.models.*", "models", []),
    ("triggers.*.model", "models", []),
    ("triggers.*.from", "sources", []),
    ("triggers.*.from.*", "sources", []),
)
"""(where a name stands, the section that it is from, what else it may be)."""
Rule = Callable[[Map], Iterator[Problem]]


def lint(root: Map, files: Mapping[str, str]) -> list[Problem]:
    """Every problem of every rule; `files` are the contents of the files that the document refers to."""
    problems = [problem for rule in RULES for problem in rule(root)]
    return [*problems, *_schema_files(root, files), *format_problems(root, files)]


def _names(root: Map, section: str) -> list[str]:
    node = root.get(section)
    return list(node.entries) if isinstance(node, Map) else []


def _texts(root: Map, pattern: str) -> Iterator[tuple[tuple[str | int, ...], Scalar]]:
    for path, node in matching(root, pattern):
        if isinstance(node, Scalar) and isinstance(node.value, str):
            yield path, node


def _unresolved(root: Map) -> Iterator[Problem]:
    """`agent:`, `models:` and `from:` name things that exist."""
    for pattern, section, also in _REFERENCES:
        names = [*_names(root, section), *also]
        for _, node in _texts(root, pattern):
            if node.text not in names:
                expected = ", ".join(names) if names else f"a name under `{section}:`, which is empty"
                message = f'there is no "{node.text}" under `{section}:`'
                yield Problem(
                    Code.UNRESOLVED, node.place, message, expected=expected, nearest=nearest_name(node.text, names)
                )


def _which_agent(root: Map) -> Iterator[Problem]:
    """A trigger without `agent:` means the only agent; with none or several there is no such thing."""
    agents = _names(root, "agents")
    if len(agents) == 1:
        return
    for path, trigger in matching(root, "triggers.*"):
        if isinstance(trigger, Map) and "agent" not in trigger.entries:
            found = f"there are {len(agents)} agents" if agents else "there is no agent"
            message = f"{found}, and trigger `{path[-1]}` does not say which one"
            expected = "`agent: <name>`, or `agent: none` for a result without a model call"
            yield Problem(Code.WHICH_AGENT, key_place(root, path), message, expected=expected)


def _reserved_agent(root: Map) -> Iterator[Problem]:
    agents = root.get("agents")
    if isinstance(agents, Map) and NO_AGENT in agents.entries:
        message = f"an agent cannot be called `{NO_AGENT}`: `agent: {NO_AGENT}` means that no model is asked"
        yield Problem(Code.RESERVED_NAME, agents.entries[NO_AGENT].place, message)


def _agent_without_model(root: Map) -> Iterator[Problem]:
    if _names(root, "models"):
        return
    for path, agent in matching(root, "agents.*"):
        if isinstance(agent, Map) and "models" not in agent.entries:
            message = f"agent `{path[-1]}` has no model to ask: `models:` is empty"
            yield Problem(Code.UNRESOLVED, key_place(root, path), message)


def _same_topic(root: Map) -> Iterator[Problem]:
    first: dict[str, tuple[str | int, ...]] = {}
    for path, node in _texts(root, "sources.*.topic"):
        if node.text in first:
            message = f"the topic `{node.text}` is read by source `{first[node.text][1]}` already"
            expected = "one source per topic; tell its events apart by their fields"
            yield Problem(Code.SAME_TOPIC, node.place, message, expected=expected)
        first.setdefault(node.text, path)


def _topic_names(root: Map) -> Iterator[Problem]:
    for _, node in (*_texts(root, "sources.*.topic"), *_texts(root, "tables.*.topic")):
        try:
            checked_topic(node.text)
        except ValueError as error:
            yield Problem(Code.WRONG_VALUE, node.place, f"`topic`: {error}")


def _key_over_http(root: Map) -> Iterator[Problem]:
    for path, node in _texts(root, "models.*.base_url"):
        model = next((model for at, model in matching(root, "models.*") if at == path[:2]), None)
        has_key = isinstance(model, Map) and isinstance(model.get("api_key"), Scalar)
        if has_key and node.text.startswith("http://") and not _is_loopback(node.text):
            message = f"the API key of `{path[1]}` travels unencrypted to another host"
            yield Problem(Code.KEY_OVER_HTTP, node.place, message, severity="warning", expected="https")


def _registry_over_http(root: Map) -> Iterator[Problem]:
    for _, node in _texts(root, "kafka.registry.url"):
        has_password = any(matching(root, "kafka.registry.password"))
        if has_password and node.text.startswith("http://") and not _is_loopback(node.text):
            message = "the password of the schema registry travels unencrypted to another host"
            yield Problem(Code.KEY_OVER_HTTP, node.place, message, severity="warning", expected="https")


def _headers_over_http(root: Map) -> Iterator[Problem]:
    for path, node in _texts(root, "sources.*.input.sse.url"):
        has_headers = any(matching(root, f"sources.{path[1]}.input.sse.headers.*"))
        if has_headers and node.text.startswith("http://") and not _is_loopback(node.text):
            message = f"the headers of source `{path[1]}` travel unencrypted to another host"
            yield Problem(Code.KEY_OVER_HTTP, node.place, message, severity="warning", expected="https")


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _schema_files(root: Map, files: Mapping[str, str]) -> Iterator[Problem]:
    """`answer: {file: …}` holds a JSON Schema that an answer may have, and the fallback fits it."""
    for path, node in matching(root, "agents.*.answer"):
        named = file_named(node)
        if named is None or named.text not in files:
            continue
        try:
            shape = shape_of_schema(orjson.loads(files[named.text]))
        except (AnswerError, orjson.JSONDecodeError) as error:
            message = f"`{named.text}` does not describe an answer: {error}"
            yield Problem(Code.ANSWER_SCHEMA, named.place, message, expected="a JSON Schema with `type: object`")
            continue
        agent = next(agent for at, agent in matching(root, "agents.*") if at == path[:2])
        yield from _fallback(root, (*path[:2], "fallback"), agent, shape)


def _fallback(root: Map, path: tuple[str | int, ...], agent: Node, shape: AnswerShape) -> Iterator[Problem]:
    fallback = agent.get("fallback") if isinstance(agent, Map) else None
    if fallback is None:
        return
    try:
        shape.check(plain_value(fallback))
    except AnswerError as error:
        yield Problem(Code.ANSWER_SCHEMA, key_place(root, path), f"`fallback` {error}")


RULES: tuple[Rule, ...] = (
    expression_problems,
    function_problems,
    semantic_problems,
    sequence_problems,
    template_problems,
    forget_problems,
    inhibition_problems,
    table_problems,
    chain_problems,
    combination_problems,
    _unresolved,
    _which_agent,
    _reserved_agent,
    _agent_without_model,
    _same_topic,
    output_topic_problems,
    route_problems,
    _topic_names,
    input_problems,
    constant_key_problems,
    _key_over_http,
    _registry_over_http,
    _headers_over_http,
)
