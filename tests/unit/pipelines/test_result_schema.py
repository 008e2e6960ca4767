"""The schemas say what really comes out: records of a short demo are held against them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from tests.command_line import RULES, penstock, written

from penstock.connectors.port import TaskId
from penstock.operators.dead import dead_letter, refused_output
from penstock.operators.event import Ask, ChatRequest
from penstock.operators.record import DeadLetter, Output, Record
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.endpoint import Call
from penstock.pipelines.growing import preview
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.result_schema import result_schema

EXAMPLE = Path(__file__).parents[3] / "pipelines" / "examples" / "ssh_watch.yaml"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Everything on the topic of partials, which has the whole stream of revisions."""
    db = tmp_path_factory.mktemp("demo") / "demo.db"
    assert penstock("demo", "--hours", "1", "--db", db).code == 0
    told = penstock("tail", EXAMPLE, "--broker", f"sqlite:{db}", "--topic", "partials", "--json", "--until-idle", "0.2")
    return [orjson.loads(line)["value"] for line in told.out.splitlines()]


def errors(schema: dict[str, Any], record: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).iter_errors(record)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(result_schema())
    assert penstock("schema", "result").json == result_schema()


def test_every_record_of_a_demo_is_as_the_schema_says(records: list[dict[str, Any]]) -> None:
    assert {record["state"] for record in records} == {"partial", "final", "resolved"}
    assert [error for record in records for error in errors(result_schema(), record)] == []


@pytest.mark.parametrize(
    "change",
    [{"rev": 0}, {"state": "done"}, {"triggers": []}, {"surprise": 1}, {"labels": {"a": 1}}, {"simulated": "yes"}],
    ids=str,
)
def test_a_record_that_is_different_is_refused(change: dict[str, Any], records: list[dict[str, Any]]) -> None:
    assert errors(result_schema(), {**records[0], **change})


def test_a_record_that_lacks_a_field_is_refused(records: list[dict[str, Any]]) -> None:
    for name in records[0]:
        lacking = {field: value for field, value in records[0].items() if field != name}
        assert errors(result_schema(), lacking), name


def test_every_record_is_as_the_message_of_its_agent_says(records: list[dict[str, Any]]) -> None:
    messages = penstock("schema", "--asyncapi", EXAMPLE).json["components"]["messages"]
    asked = [record for record in records if record["agent"] is not None]
    assert asked
    for record in asked:
        assert errors(messages[f"result_{record['agent']}"]["payload"], record) == [], record["state"]


def test_an_answer_that_the_agent_could_not_give_is_refused_by_its_message(records: list[dict[str, Any]]) -> None:
    messages = penstock("schema", "--asyncapi", EXAMPLE).json["components"]["messages"]
    final = next(record for record in records if record["agent"] == "investigate" and record["state"] == "final")
    payload = messages["result_investigate"]["payload"]
    for answer in ({**final["answer"], "verdict": "perhaps"}, {"verdict": "attack"}, {**final["answer"], "more": 1}):
        assert errors(payload, {**copy.deepcopy(final), "answer": answer})


def messages_of(document: dict[str, Any], channel: str) -> set[str]:
    return set(document["channels"][channel]["messages"])


def test_the_asyncapi_document_describes_every_topic_and_nothing_in_it_dangles() -> None:
    document = penstock("schema", "--asyncapi", EXAMPLE).json
    topics = load_pipeline([EXAMPLE], environ={}).spec
    assert topics is not None
    assert {name: channel["address"] for name, channel in document["channels"].items()} == {
        "results": topics.output_topics.results,
        "partials": topics.output_topics.partials,
        "dead": topics.output_topics.dead,
        "previews": topics.output_topics.previews,
    }
    assert {"asyncapi", "info", "channels", "operations", "components"} <= document.keys()
    assert document["operations"].keys() == {f"publish_{name}" for name in document["channels"]}
    agents = compile_pipeline(load_pipeline([EXAMPLE], environ={})).plan.agents
    for channel in ("results", "partials"):
        assert messages_of(document, channel) == {"result", *(f"result_{name}" for name in agents)}
    assert (messages_of(document, "dead"), messages_of(document, "previews")) == ({"dead_letter"}, {"preview"})
    references = list(_references(document))
    assert references
    for reference in references:
        _resolve(document, reference)


def test_the_asyncapi_document_describes_routes_and_what_is_the_case(tmp_path: Path) -> None:
    routes = "outputs: {latest: open, routes: [{topic: pages, where: 'true'}, {topic: pages, where: 'end'}]}\n"
    document = penstock("schema", "--asyncapi", written(tmp_path, RULES + routes)).json
    assert {name: channel["address"] for name, channel in document["channels"].items() if name[0] in "lr"} == {
        "results": "dev.rules.results",
        "latest": "open",
        "route_1": "pages",
    }
    assert (messages_of(document, "route_1"), messages_of(document, "latest")) == ({"result"}, {"result", "gone"})
    for reference in _references(document):
        _resolve(document, reference)


def test_every_dead_letter_has_the_headers_that_its_message_describes() -> None:
    headers = penstock("schema", "--asyncapi", EXAMPLE).json["components"]["messages"]["dead_letter"]["headers"]
    Draft202012Validator.check_schema(headers)
    record = Record("auth", 2, 7, 1_795_000_000_000, b"k", b"\xff", (("own", b"1"),))
    letter = dead_letter(record, DeadLetter("undecodable", "it is no JSON"), "dead")
    result = Output("r/1", "results", b"k", b"{}")
    letters = [letter, refused_output(letter, "too large", "dead"), refused_output(result, "too large", "dead")]
    for each in letters:
        shown = {name: text.decode() for name, text in each.headers}
        assert errors(headers, shown) == []
    assert errors(headers, {"penstock-dead-topic": "auth"})
    known = {name for each in letters for name, _ in each.headers} - {"own"}
    assert headers["properties"].keys() == known


def test_a_preview_is_as_its_message_says() -> None:
    message = penstock("schema", "--asyncapi", EXAMPLE).json["components"]["messages"]["preview"]
    ask = Ask("c", "q", "r", "k", "small", ChatRequest("m", (), {}, None), 1000, 100, True)
    output = preview(Call(ask, TaskId("main", 0), lambda _: None), "previews", 3, "text", simulated=True)
    shown = orjson.loads(output.value or b"")
    Draft202012Validator.check_schema(message["payload"])
    assert errors(message["payload"], shown) == []
    assert errors(message["payload"], {**shown, "from": -1})


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for value in node.values() for reference in _references(value)]
    return [reference for value in node for reference in _references(value)] if isinstance(node, list) else []


def _resolve(document: Any, reference: str) -> None:
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        document = document[part]
