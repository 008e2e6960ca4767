"""Cached tokens of estimated prompts where a server's memory is known: keys push each other out of it.

    --rate small.cache=250000      tokens that the prefix cache of `small` holds (vLLM says so when it starts)

All prompts of all keys go through the cache of their model in the order of the firings, however many processes found them.
Without a size a prompt is compared with the last one of its key, as if nothing were ever pushed out (`backtest_tokens.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from penstock.operators.event import Usage
from penstock.operators.plan import Plan
from penstock.operators.prefix import BLOCK, PrefixCache
from penstock.pipelines.backtest import History
from penstock.pipelines.backtest_answering import prices_of
from penstock.pipelines.backtest_rates import CACHE, Rates, given_of
from penstock.pipelines.backtest_row import ASKED, used_of


def cache_sizes(rates: Rates, models: Mapping[str, object]) -> dict[str, int]:
    """Tokens, of the models of which it was given."""
    given = {model: given_of(rates, model) for model in models}
    return {model: int(said[CACHE]) for model, said in given.items() if CACHE in said}


def recached(plan: Plan, history: History, rates: Rates) -> None:
    """Counts the cached tokens of runs that nobody answered anew, and what they cost."""
    prices = prices_of(plan)
    caches = {
        model: PrefixCache(capacity_blocks=max(size // BLOCK, 1)) for model, size in cache_sizes(rates, prices).items()
    }
    for row in history.rows:
        if row.state != ASKED or row.run not in history.prompts or row.route[0].model not in caches:
            continue
        (asked,) = row.route
        asked.cached_input_tokens = caches[asked.model].take(array("I", history.prompts[row.run]), asked.input_tokens)
        usage = Usage(asked.input_tokens, asked.cached_input_tokens, asked.output_tokens)
        price = prices[asked.model]
        asked.cost = None if price is None else float(price.cost(usage))
        row.usage = used_of(row.route, estimated=True)
