"""`penstock render`: the exact prompt that a recording leads to, what it costs, and how much of it a prefix cache would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from penstock.operators.error import Rejected
from penstock.operators.event import Ask
from penstock.operators.prefix import PrefixCache, prompt_ids
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.samples import SampleTask, sample_records, source_of


def render(loaded: Loaded, *, sample: Path, at: int | None, source: str | None, json: bool) -> None:
    """Print the `at`-th prompt (from 1; None: the last). Raises Rejected where the sample leads to no such prompt."""
    _, pipeline = usable(loaded)
    asked = _prompts(pipeline.plan, sample, source)
    if not asked:
        remedy = "choose another sample, or give a trigger an agent: one with `agent: none` asks nobody"
        raise Rejected("the sample leads to no prompt", where=str(sample), remedy=remedy)
    if (at or 1) > len(asked):
        number = "1 prompt" if len(asked) == 1 else f"{len(asked)} prompts"
        raise Rejected(f"the sample leads to {number}", where=str(sample), remedy="choose a smaller --at")
    place = at or len(asked)
    shown = _described(asked, place)
    if json:
        typer.echo(orjson.dumps(shown).decode())
    else:
        _print(shown, len(asked))


def _prompts(plan: Any, sample: Path, source_name: str | None) -> list[Ask]:
    source = source_of(plan, source_name)
    fed = SampleTask(plan, source)
    for raw in sample_records(source, sample):
        fed.feed(raw)
    fed.end()
    return fed.asked


def _described(asked: list[Ask], place: int) -> dict[str, Any]:
    """The prompt and its tokens; the cache has seen every prompt before it."""
    cache = PrefixCache()
    tokens = cached = 0
    for ask in asked[:place]:
        ids = prompt_ids(ask.request.messages)
        tokens, cached = len(ids), cache.lookup_and_add(ids)
    ask = asked[place - 1]
    return {
        "at": place,
        "run": ask.run,
        "key": ask.key,
        "model": ask.endpoint,
        "messages": [{"role": message.role, "content": message.content} for message in ask.request.messages],
        "parameters": ask.request.parameters,
        "schema": ask.request.schema,
        "tokens": tokens,
        "cached_tokens": cached,
        "cached_share_so_far": cache.cached_tokens / cache.queried_tokens,
    }


def _print(shown: dict[str, Any], prompts: int) -> None:
    console = Console(soft_wrap=True)
    for message in shown["messages"]:
        console.rule(f"[bold]{message['role']}", align="left")
        console.print(escape(message["content"]), highlight=False)
    console.rule(align="left")
    share = shown["cached_tokens"] / shown["tokens"]
    console.print(
        f"prompt {shown['at']} of {prompts}: run {shown['run']}, key {escape(shown['key'])}, model {escape(shown['model'])}\n"
        f"about {shown['tokens']} tokens, {shown['cached_tokens']} of them ({share:.0%}) cached"
        f" ({shown['cached_share_so_far']:.0%} of all prompts up to here)",
        highlight=False,
    )
