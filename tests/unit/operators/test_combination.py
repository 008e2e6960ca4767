"""`any` and `all`, played: what they make of what their members do.

events    a·b·|    a letter is an event of key `k` whose field `x` is that letter, | an event of another key
"""

from __future__ import annotations

from tests.oracle.product import Worker, plan_of, results
from tests.oracle.timeline import HEAD, Played, drawn, play

A, B = """each: 'event.x == "a"'""", """each: 'event.x == "b"'"""
ON_A = """when: 'count(event.x == "a", 3s) >= 1', cooldown: 0s"""
ON_B = """when: 'count(event.x == "b", 4s) >= 1', cooldown: 0s"""


def marks(combination: str, events: str, one: str = A, other: str = B) -> str:
    """Of the combination alone; `one` and `other` are its members `m` and `n`, which stand behind it in the file."""
    return played(combination, events, one, other).marks


def played(combination: str, events: str, one: str = A, other: str = B) -> Played:
    return play(f"{combination}, agent: none}}\n  m: {{{one}, agent: none}}\n  n: {{{other}", events)


# --- any -------------------------------------------------------------------------------------------------------------


def test_any_fires_with_each_firing_of_one_of_them() -> None:
    assert marks("any: [m, n]", "·a·bc·a··") == (
                                "·F·F··F··")  # fmt: skip


def test_several_of_its_members_that_fire_at_once_are_one_firing() -> None:
    found = played("any: [m, n]", "a·b", other="each: 'true'")
    assert (found.marks, found.causes) == ("F·F", ["in/0@0", "in/0@1"])
    assert found.results[0]["why"]["values"] == {"fired": dict.fromkeys("mn", "1970-01-01T00:00:00.000Z")}
    assert found.results[1]["why"]["values"] == {"fired": {"n": "1970-01-01T00:00:02.000Z"}}
    assert found.results[0]["why"]["condition"] == "any: [m, n]"


def test_any_has_a_cooldown_of_its_own() -> None:
    found = played("any: [m, n], cooldown: 3s", "a·bab")
    assert (found.marks, found.suppressed) == ("F··F·", 2)


def test_any_fires_because_time_passed_when_its_member_does() -> None:
    found = played("any: [m, n]", "a·····|", one="absence: 'true', for: 2s")
    assert (found.marks, found.causes) == ("··F····", ["timer@2000"])


def test_a_cooldown_holds_back_what_the_watermark_tells_late_and_without_one_nothing_is() -> None:
    silent = """absence: 'event.x == "a"', for: 2s"""
    found = played("any: [m, n], cooldown: 1s", "a········a", one=silent, other=A)
    assert (found.marks, found.suppressed) == ("F········F", 1)
    found = played("any: [m, n]", "a········a", one=silent, other=A)
    assert (found.marks, found.causes) == ("F·F······F", ["in/0@0", "in/0@1", "timer@2000"])


# --- all, within a time ----------------------------------------------------------------------------------------------


def test_all_fires_when_each_has_fired_within_the_time() -> None:
    assert marks("all: [m, n], within: 3s", "a··b·····a···b··ba") == (
                                            "···F·············F")  # fmt: skip


def test_firings_that_were_used_are_not_used_again() -> None:
    assert marks("all: [m, n], within: 9s", "ab·b·a·b·b") == (
                                            "·F···F····")  # fmt: skip


def test_of_every_member_the_latest_firing_counts() -> None:
    found = played("all: [m, n], within: 3s", "a··a··b")
    assert (found.marks, found.causes) == ("······F", ["in/0@2"])
    fired = {"m": "1970-01-01T00:00:03.000Z", "n": "1970-01-01T00:00:06.000Z"}
    assert found.results[0]["why"]["values"] == {"fired": fired}
    assert found.results[0]["why"]["condition"] == "all: [m, n], within: 3s"


def test_one_event_can_bring_all_of_them() -> None:
    assert marks("all: [m, n], within: 1s", "·b·a·", other="each: 'true'") == (
                                            "···F·")  # fmt: skip


def test_a_cooldown_uses_up_what_it_holds_back() -> None:
    found = played("all: [m, n], within: 1s, cooldown: 5s", "ab·ab·b·ab")
    assert (found.marks, found.suppressed) == ("·F·······F", 1)


# --- all, at once ----------------------------------------------------------------------------------------------------


def test_without_a_time_all_fires_while_every_member_is_in_its_episode() -> None:
    assert marks("all: [m, n]", "a·b·····|", ON_A, ON_B) == (
                                "··FR·····")  # fmt: skip


def test_it_fires_again_when_all_are_again() -> None:
    assert marks("all: [m, n]", "ab···a··a·|", ON_A, ON_B) == (
                                "·F·R·······")  # fmt: skip
    assert marks("all: [m, n]", "ab··ab·b··|", ON_A, ON_B) == (
                                "·F·RF··R···")  # fmt: skip


def test_where_one_ends_when_the_other_begins_nothing_is_at_once_whichever_stands_first() -> None:
    for members in ("[m, n]", "[n, m]"):
        assert marks(f"all: {members}", "a··b····|", ON_A, ON_B) == "·········"
        assert marks(f"all: {members}", "a··b····|", ON_B.replace("4s", "3s"), ON_A) == "·········"


def test_its_episode_ends_at_the_end_of_the_first_and_names_its_cause() -> None:
    found = played("all: [m, n]", "a·b···|", ON_A, ON_B)
    fired, resolved = found.results
    assert (fired["why"]["fired_by"], fired["state"], resolved["state"]) == ("in/0@1", "final", "resolved")
    assert fired["why"]["values"] == {"fired": {"m": "1970-01-01T00:00:00.000Z", "n": "1970-01-01T00:00:02.000Z"}}


def test_silence_and_a_condition_can_be_at_once() -> None:
    absent = """absence: 'event.x == "a"', for: 2s"""
    assert marks("all: [m, n]", "a·bb|····|", absent, ON_B) == (
                                "··F····R··")  # fmt: skip


# --- members ---------------------------------------------------------------------------------------------------------


def test_members_may_see_some_sources_only() -> None:
    assert marks("all: [m, n]", "a·b·····|", f"{ON_A}, from: in", ON_B) == (
                                "··FR·····")  # fmt: skip
    assert marks("any: [m, n]", "a·b·····|", A, f"{B}, from: [in]") == (
                                "F·F······")  # fmt: skip


def test_a_combination_means_something_else_when_a_member_does() -> None:
    def identity(one: str, agent: str = "none") -> str:
        text = HEAD % ("0s", f"all: [m, n], agent: none}}\n  m: {{{one}, agent: {agent}}}\n  n: {{{ON_B}")
        return plan_of(text).triggers[0].identity

    assert identity(ON_A) == identity(f"{ON_A}, labels: {{severity: info}}")
    assert identity(ON_A) != identity(ON_A.replace("3s", "2s"))


def test_what_it_began_ends_where_a_member_is_no_more_what_it_was() -> None:
    worker = Worker(plan_of(text_of(ON_A)), drawn("ab·c|"))
    worker.feed(2, 0)
    worker.commit()
    worker.plan = plan_of(text_of(ON_A.replace("3s", "2s")))
    worker.restart()
    worker.feed(3, 0)
    worker.commit()
    begun = [result["triggers"] for result in results(worker.outputs, "dev.timeline.results")]
    assert begun == [["m"], ["n"], ["played"]]


def test_templates_of_a_combination_see_definitions_and_what_fired() -> None:
    text = text_of(ON_A, "annotations: {said: '{{ values.fired.m }} {{ values.recent }}'}").replace(
        "triggers:", "define: {recent: 'count(true, 9s)'}\ntriggers:"
    )
    worker = Worker(plan_of(text), drawn("a·b|"))
    worker.feed(3, 0)
    worker.commit()
    told = next(each for each in results(worker.outputs, "dev.timeline.results") if each["triggers"] == ["played"])
    assert told["annotations"] == {"said": "1970-01-01T00:00:00.000Z 2"}


def text_of(one: str, more: str = "labels: {}") -> str:
    return HEAD % ("0s", f"all: [m, n], {more}, agent: none}}\n  m: {{{one}, agent: none}}\n  n: {{{ON_B}")
