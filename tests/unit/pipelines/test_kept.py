from __future__ import annotations

from penstock.operators.event import Answered, Usage
from penstock.pipelines.kept import KeptAnswers


def answer(name: str, text: str = "yes") -> Answered:
    return Answered(f"call-{name}", text, "stop", Usage())


def kept(answers: KeptAnswers, names: str) -> str:
    return "".join(name for name in names if answers.find(name) is not None)


def test_an_answer_is_there_for_its_question_until_it_is_committed() -> None:
    answers = KeptAnswers()
    answers.keep("a", answer("a"))
    assert answers.find("a") == answers.find("a") == answer("a")
    assert answers.find("b") is None
    answers.forget("call-a")
    assert answers.find("a") is None
    answers.forget("call-a")


def test_the_oldest_go_first() -> None:
    answers = KeptAnswers(most=3)
    for name in "abcabd":
        answers.keep(name, answer(name))
    assert kept(answers, "abcd") == "abd"


def test_long_answers_make_room_sooner() -> None:
    answers = KeptAnswers(characters_max=10)
    for name, text in {"a": "12345", "b": "123456", "c": "1234"}.items():
        answers.keep(name, answer(name, text))
    assert kept(answers, "abc") == "bc"
    answers.forget("call-b")
    answers.keep("d", answer("d", "123456"))
    assert kept(answers, "abcd") == "cd"
    answers.keep("e", answer("e", "12345678901"))
    assert kept(answers, "abcde") == ""


def test_an_answer_given_again_goes_by_the_call_that_got_it() -> None:
    answers = KeptAnswers()
    answers.keep("a", answer("a"))
    answers.keep("a", answer("again"))
    answers.forget("call-a")
    assert answers.find("a") == answer("again")
    answers.forget("call-again")
    assert answers.find("a") is None
