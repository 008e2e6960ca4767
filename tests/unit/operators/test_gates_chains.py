"""What stands between what `after`, `any` and `all` decide and their runs; and what others hear of firings that are none.

told      what left because of each, by trigger: F fired, R resolved, S skipped
"""

from __future__ import annotations

from typing import Any

from tests.oracle.stand import Stand

from penstock.operators.event import URGENCY, Answered, Ask, Usage

HEAD = """
penstock: v1
name: gates
sources:
  auth: {topic: auth, key: event.host, time: {at: event.t, unit: s}, watermark: {delay: 0s, idle: never}}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge: {ask: Is it one?}
  write: {ask: Write about it.}
triggers:
"""
SIGNS = {"final": "F", "resolved": "R", "skipped": "S"}
M, N = """m: {each: 'event.x == "m"', agent: none}""", """n: {each: 'event.x == "n"', agent: none}"""
OPEN = "{when: 'event.x == \"o\"', until: 'event.x == \"c\"', cooldown: 0s, agent: none}"
SEEN = "seen: {each: 'event.x == \"m\"', agent: judge}"


def began(*triggers: str, head: str = HEAD) -> Stand:
    stand = Stand(head + "".join(f"  {trigger}\n" for trigger in triggers))
    stand.cut("opened")
    return stand


def signs(stand: Stand) -> list[str]:
    return [f"{each['triggers'][0]}{SIGNS[each['state']]}" for each in stand.results(stand.cut())]


def told(stand: Stand, letters: str, start: int = 0) -> list[str]:
    """`<trigger><sign>` in the order in which they left; one letter a second."""
    stand.feed(*[stand.event(start + second, x=letter) for second, letter in enumerate(letters)])
    return signs(stand)


def asked(stand: Stand, time: int, **fields: Any) -> Ask:
    [ask] = [effect for effect in stand.feed(stand.event(time, x="m", **fields)) if isinstance(effect, Ask)]
    return ask


def answered(stand: Stand, ask: Ask) -> list[Ask]:
    effects = stand.task.feed(Answered(ask.call_id, "It is.", "stop", Usage()))
    return [effect for effect in effects if isinstance(effect, Ask)]


# --- combinations of what is skipped ---------------------------------------------------------------------------------


def test_a_member_that_is_skipped_has_not_fired() -> None:
    stand = began(f"z: {OPEN}", M.replace("agent", "inhibited_by: [z], agent"), N, "any_of: {any: [m, n], agent: none}")
    assert told(stand, "omncm") == ["zF", "mS", "nF", "any_ofF", "zR", "mF", "any_ofF"]


def test_a_member_that_its_limit_refused_has_not_fired() -> None:
    stand = began(M.replace("agent", "limit: 1/hour, agent"), N, "both: {all: [m, n], within: 1m, agent: none}")
    assert told(stand, "mnmn") == ["mF", "nF", "bothF", "mS", "nF"]


def test_a_member_that_a_sample_leaves_out_has_fired() -> None:
    stand = began(M.replace("agent", "sample: 1%, agent"), "any_of: {any: [m], agent: none}")
    assert told(stand, "mmm") == ["any_ofF"] * 3


def test_what_a_skipped_member_would_have_begun_is_no_episode_for_others() -> None:
    lasting = "p: {when: 'event.x == \"o\"', until: 'event.x == \"c\"', cooldown: 0s, agent: none, inhibited_by: [z]}"
    q = "q: {when: 'event.x == \"q\"', until: 'event.x == \"c\"', cooldown: 0s, agent: none}"
    z = "z: {each: 'event.x == \"z\"', cooldown: 2s, agent: none}"
    stand = began(z, lasting, q, "both: {all: [p, q], agent: none}")
    assert told(stand, "zoqcoqc") == ["zF", "pS", "qF", "qR", "pF", "qF", "bothF", "pR", "qR", "bothR"]


# --- combinations that are skipped -----------------------------------------------------------------------------------


def test_a_combination_is_inhibited_by_others() -> None:
    stand = began(f"z: {OPEN}", M, "any_of: {any: [m], inhibited_by: [z], cooldown: 1m, agent: none}")
    assert told(stand, "omcmm") == ["zF", "mF", "any_ofS", "zR", "mF", "any_ofF", "mF"]


def test_firings_of_members_are_used_up_by_a_combination_that_is_skipped() -> None:
    stand = began(f"z: {OPEN}", M, N, "both: {all: [m, n], within: 1m, cooldown: 1m, inhibited_by: [z], agent: none}")
    assert told(stand, "omncmn") == ["zF", "mF", "nF", "bothS", "zR", "mF", "nF", "bothF"]


def test_an_episode_of_a_combination_that_is_skipped_ends_without_a_record_and_begins_no_cooldown() -> None:
    p = "p: {when: 'event.x == \"p\"', until: 'event.x == \"e\"', cooldown: 0s, agent: none}"
    stand = began(f"z: {OPEN}", p, "both: {all: [p, z], cooldown: 1m, limit: 1/hour, inhibited_by: [w], agent: none}",
                  "w: {each: 'event.x == \"w\"', cooldown: 3s, agent: none}")  # fmt: skip
    assert told(stand, "wpoe") == ["wF", "pF", "zF", "bothS", "pR"]
    stand.reopen()
    assert told(stand, "pcop", 4) == ["pF", "bothF", "zR", "bothR", "zF"]


def test_a_combination_keeps_others_quiet_from_the_next_event_on() -> None:
    stand = began(
        M, N.replace("agent", "inhibited_by: [any_of], agent"), "any_of: {any: [m], cooldown: 2s, agent: none}"
    )
    assert told(stand, "mnnn") == ["mF", "any_ofF", "nS", "nF", "nF"]


# --- after -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_followed_as_often_as_the_limit_lets_it_by_the_time_with_which_the_chain_began() -> None:
    stand = began(SEEN, "note: {after: judge, limit: 1/hour, agent: none}")
    first, second, third = asked(stand, 10), asked(stand, 20, host="b"), asked(stand, 4_000, host="c")
    told: list[str] = []
    for ask in (third, first, second):  # by the watermark, the first hour is over; two of its runs are not
        answered(stand, ask)
        told += signs(stand)
    assert told == ["seenF", "noteF", "seenF", "noteF", "seenF", "noteS"]


def test_what_follows_counts_for_the_limit_of_the_pipeline_if_it_asks_a_model() -> None:
    head = HEAD.replace("name: gates", "name: gates\nlimit: 2/hour")
    stand = began(SEEN, "ticket: {after: judge, agent: write}", "note: {after: judge, agent: none}", head=head)
    assert len(answered(stand, asked(stand, 10))) == 1
    [result] = [each for each in stand.results(stand.cut()) if each["triggers"] == ["note"]]
    assert result["state"] == "final"
    stand.feed(stand.event(20, x="m", host="b"))
    assert signs(stand) == ["seenS"]


def test_a_skipped_firing_says_what_it_would_have_followed_and_the_count_survives_a_restart() -> None:
    stand = began(SEEN, "note: {after: judge, limit: 1/hour, agent: none}")
    answered(stand, asked(stand, 10))
    stand.cut()
    stand.reopen()
    answered(stand, asked(stand, 20))
    first, skipped = stand.results(stand.cut())
    assert (skipped["state"], skipped["reason"]) == ("skipped", "limit")
    assert skipped["why"]["fired_by"] == f"{first['run']}/{first['rev']}"


def test_what_follows_is_inhibited_by_what_was_open_when_the_chain_began() -> None:
    stand = began(f"z: {OPEN}", SEEN, "note: {after: judge, inhibited_by: [z], agent: none}")
    before = asked(stand, 1)
    stand.feed(stand.event(2, x="o"), stand.event(3, x="m"), stand.event(4, x="c"))
    assert signs(stand) == ["zF", "zR"]
    [within] = answered(stand, before)
    answered(stand, within)
    assert signs(stand) == ["seenF", "noteF", "seenF", "noteS"]


def test_of_two_that_follow_one_answer_one_can_keep_the_other_quiet() -> None:
    stand = began(
        SEEN,
        "other: {after: judge, inhibited_by: [chosen], agent: none}",
        "chosen: {after: judge, where: 'key == \"h\"', agent: none}",
    )
    answered(stand, asked(stand, 10))
    answered(stand, asked(stand, 20, host="b"))
    assert signs(stand) == ["seenF", "chosenF", "otherS", "seenF", "otherF"]


def test_a_sample_of_what_follows_is_the_same_one_whatever_happens() -> None:
    stand = began(SEEN, "ticket: {after: judge, sample: 1%, agent: write}")
    assert answered(stand, asked(stand, 10)) == []
    assert stand.task.counters["sampled_out", "ticket"] == 1
    assert signs(stand) == ["seenF"]


def test_what_follows_has_a_priority_of_its_own() -> None:
    stand = began(SEEN, "ticket: {after: judge, priority: high, agent: write}")
    [ask] = answered(stand, asked(stand, 10))
    assert ask.priority == URGENCY["high"]


def test_a_table_is_there_for_the_question_of_what_follows() -> None:
    head = HEAD.replace("models:", "tables:\n  hosts: {topic: cmdb}\nmodels:")
    head = head.replace("Write about it.", "'{{ text }} {{ tables.hosts[key].owner }}'")
    stand = began(SEEN, "ticket: {after: judge, agent: write}", head=head)
    stand.feed(stand.row("h", owner="ann"))
    [ask] = answered(stand, asked(stand, 10))
    assert "It is. ann" in ask.request.messages[-1].content


def test_what_holds_a_member_back_does_not_decide_which_member_a_combination_is_because_of() -> None:
    """Inhibitors are asked first; members still count in the order of the file."""
    runs = []
    for inhibited in ("", "inhibited_by: [z], "):
        stand = began(
            f"""m: {{each: 'event.x == "m"', {inhibited}agent: none}}""",
            """n: {each: 'event.x == "m"', agent: none}""",
            """z: {each: 'event.x == "z"', agent: none}""",
            "any_of: {any: [n, m], agent: none}",
        )
        stand.feed(stand.event(1, x="m"))
        runs += [each["run"] for each in stand.results(stand.cut()) if each["triggers"] == ["any_of"]]
    assert runs[0] == runs[1]
