"""The files that the processes of a story run, besides `WATCH`."""

from __future__ import annotations

JUDGE = """
penstock: v1
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge:
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
"""
"""Whom most of them ask."""

TIMED = (
    JUDGE
    + """\
name: timed
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 500ms, idle: 1500ms, lateness: 0s}}
triggers:
  often: {every: 2s, agent: judge}
  failed: {each: event.outcome == "failed", agent: judge}
"""
)
"""Time counts: an outage of ours that was taken for silence would make events late that are still to be read."""

TWO_INPUTS = (
    JUDGE
    + """\
name: pair
sources:
  auth: {topic: auth, key: event.host, watermark: {delay: 500ms, idle: 1500ms, lateness: 0s}}
  flow: {topic: flow, key: event.host, hide: has(event.bytes), watermark: {delay: 500ms, idle: 1500ms, lateness: 0s}}
triggers:
  often: {every: 2s, agent: judge}
  failed: {each: event.outcome == "failed", agent: judge}
  large: {each: event.bytes > 700, agent: none}
  much: {when: 'count(event.bytes > 300, 1h) >= 3', until: 'count(event.bytes < 0, 1h) > 0', agent: none}
"""
)
"""What is due is the same in whatever order the events of the two inputs come: a condition is about one of them, prompts show
one of them, and a period is over when both have passed it. Nothing is late, unless time went on without one of them.
"""

BEFORE = """
penstock: v1
name: rolling
sources:
  auth: {topic: auth, key: event.host, watermark: {idle: never}}
triggers:
  failed: {each: event.outcome == "failed", agent: judge}
  many: {when: 'count(event.outcome == "failed", 1h) >= 2', until: 'count(event.outcome == "odd", 1h) >= 1', agent: judge}
  odd: {each: event.outcome == "odd", agent: clerk}
  busy: {when: 'count(event.outcome == "ok", 1h) >= 3', until: 'count(event.outcome == "none", 1h) > 0', agent: none}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
agents:
  judge:
    system: You are strict.
    ask: Is {{ key }} under attack?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
    partials: {every: 100ms}
  clerk:
    ask: What about {{ key }}?
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
"""
AFTER = (
    BEFORE.replace("You are strict.", "You are lenient.")
    .replace("odd: {each", "unusual: {each")
    .replace('busy: {when: \'count(event.outcome == "ok", 1h)', 'calm: {when: \'count(event.outcome != "failed", 1h)')
    .replace("clerk", "novice")
)
"""Two triggers stay, and their agent is told something else; two others and an agent are gone, and new ones there."""

MERGED = (
    JUDGE
    + """\
name: pair
sources:
  auth: {topic: auth, key: event.host, watermark: {idle: never}}
  flow: {topic: flow, key: event.host, watermark: {idle: never}}
triggers:
  failed: {each: event.outcome == "failed", agent: judge}
  large: {each: event.bytes > 700, agent: judge}
"""
)
"""Prompts show the events of both inputs up to the one that fired: all of them, if they are fed in the order of their times."""
