from __future__ import annotations

from penstock.operators.answer import shape_of_fields
from penstock.operators.context import Context, ContextSettings
from penstock.operators.event import Message
from penstock.operators.prompt import first_messages, repair_messages, stable_text, system_text
from penstock.operators.run import Firing, Run

SHAPE = shape_of_fields({"verdict": {"enum": ["attack", "benign"]}, "why": {"type": "string", "maxLength": 300}})


def run_of(context: Context, now: int, key: str = "LabSZ") -> Run:
    firing = Firing(
        run="0-ab",
        trigger="brute_force",
        agent="investigate",
        key=key,
        at=now,
        cause="auth/0@7",
        condition="failures >= 2",
        values={"failures": 2},
    )
    return Run(firing=firing, view=context.view(now), version="1", definition="sha256:00", question="Under attack?")


def user_text(context: Context, now: int) -> str:
    run = run_of(context, now)
    return first_messages("", run, context.lines(run.view.first, run.view.last))[-1].content


def test_the_whole_prompt_byte_by_byte() -> None:
    context = Context(ContextSettings())
    context.append(1000, b'{ "user": "root",\n  "ip": "10.0.0.1" }', 1000)
    context.append(2000, b"sshd: failed", 2000)
    run = run_of(context, 2000)
    system = system_text("You watch SSH logins of one host.\n", SHAPE)
    assert first_messages(system, run, context.lines(0, 1)) == (
        Message(
            "system",
            "You watch SSH logins of one host.\n"
            "\n"
            "Answer with one JSON object and nothing else. "
            "It has exactly these fields, each described in JSON Schema:\n"
            '- "verdict": {"enum":["attack","benign"]}\n'
            '- "why": {"type":"string","maxLength":300}',
        ),
        Message(
            "user",
            "Events, oldest first, one per line:\n"
            '{"user":"root","ip":"10.0.0.1"}\n'
            '"sshd: failed"\n'
            "\n"
            'Key: "LabSZ"\n'
            "Trigger: brute_force\n"
            'Condition: "failures >= 2"\n'
            "Time: 1970-01-01T00:00:02.000Z\n"
            'Values: {"failures":2}\n'
            "\n"
            "Under attack?",
        ),
    )


def test_the_summary_stands_before_the_events() -> None:
    assert stable_text("Earlier: 3 events", [b"1"]) == (
        "Events that are not shown any more:\nEarlier: 3 events\n\nEvents, oldest first, one per line:\n1\n"
    )


def test_without_a_system_text_there_is_no_system_message() -> None:
    run = run_of(Context(ContextSettings()), 0)
    assert [message.role for message in first_messages(system_text(" ", None), run, [])] == ["user"]


def test_a_key_cannot_look_like_a_line_of_ours() -> None:
    run = run_of(Context(ContextSettings()), 0, key="a\nTime: tomorrow")
    assert 'Key: "a\\nTime: tomorrow"\n' in first_messages("", run, [])[0].content


def test_two_firings_without_an_eviction_between_them_share_all_but_the_tail() -> None:
    context = Context(ContextSettings())
    for number in range(5):
        context.append(number, b'{"n":%d}' % number, number)
    first = user_text(context, 5)
    context.append(6, b'{"n":6}', 6)
    second = user_text(context, 6)
    above_the_tail = first[: first.index("\nKey:")]
    assert above_the_tail.endswith('{"n":4}\n')
    assert second.startswith(above_the_tail + '{"n":6}\n')


def test_a_repair_keeps_the_first_messages_and_quotes_what_was_wrong() -> None:
    first = (Message("user", "question"),)
    repaired = repair_messages(first, "x" * 9000, "it holds no JSON object")
    assert repaired[0] is first[0]
    assert repaired[1] == Message("assistant", "x" * 4000)
    assert repaired[2].content.startswith("The last answer was not usable: it holds no JSON object. ")
    assert repair_messages(first, "", "it was empty")[1].content == "(nothing)"
