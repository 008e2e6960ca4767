"""What a prefix cache saves, computed without a server: an approximate tokenizer and vLLM's block-hash cache.

The tokenizer is no model's. It cuts text into pieces of about the size that trained vocabularies have, and it cuts an
appended text where it cut the text before, so *shares* of cached tokens carry over to real servers within a point, while
absolute counts are off by some 20 %. Not modelled: the cache of generated tokens, blocks that are still being computed,
pre-emption.
"""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from zlib import crc32

from penstock.operators.event import Message

BLOCK = 16
"""Tokens per block on GPUs; other block sizes change the shares by less than a point up to 64."""
CAPACITY_BLOCKS = 1 << 16
_ID_BYTES = 4
_PIECE = re.compile(
    rb" ?[A-Za-z]{1,6}|[0-9]{1,3}| ?[!-/:-@\[-`{-~]{1,2}|[\xc0-\xff][\x80-\xbf]*|[\x00-\x20\x7f]{1,4}|[\x80-\xbf]"
)
_TURN_BEGINS, _TURN_ENDS = 1, 2


def pieces(text: str) -> list[bytes]:
    """The text in token-sized pieces, each whole characters; joined they are the text again."""
    return _PIECE.findall(text.encode("utf-8", "surrogatepass"))


def token_ids(text: str) -> array[int]:
    """One stable 32-bit id per piece: equal in every process and version of Python."""
    return array("I", map(crc32, pieces(text)))


def prompt_ids(messages: Iterable[Message], continued: str = "") -> array[int]:
    """The whole prompt as chat templates lay it out: each turn framed, then the answer opened, and begun if it is continued."""
    ids = array("I")
    for message in messages:
        ids.append(_TURN_BEGINS)
        ids.extend(token_ids(message.role))
        ids.extend(token_ids(message.content))
        ids.append(_TURN_ENDS)
    ids.append(_TURN_BEGINS)
    ids.extend(token_ids("assistant"))
    ids.extend(token_ids(continued))
    return ids


class PrefixCache:
    """Which blocks of which prompts a server still holds. Memory is bounded by `capacity_blocks` (~200 bytes each).

    A block is known by the hash of all tokens up to its end, so the first token that differs ends the reuse. `salt`
    enters the first block: prompts with different salts share nothing. The last token is always computed anew, because
    its output is what generation starts from. When full, what was used longest ago goes first, tails before heads.
    """

    def __init__(self, *, block: int = BLOCK, capacity_blocks: int = CAPACITY_BLOCKS) -> None:
        if block < 1 or capacity_blocks < 1:
            raise ValueError(f"block ({block}) and capacity_blocks ({capacity_blocks}) are at least 1")
        self._block, self._capacity = block, capacity_blocks
        self._blocks: OrderedDict[Hashable, None] = OrderedDict()
        self.queried_tokens = 0
        self.cached_tokens = 0

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def usage(self) -> float:
        """Share of the capacity in use."""
        return len(self._blocks) / self._capacity

    def lookup_and_add(self, ids: Sequence[int], salt: str = "") -> int:
        """Tokens of this prompt that need no computation; its full blocks are in the cache afterwards."""
        return self.take(self._hashes(ids, salt), len(ids))

    def take(self, hashes: Sequence[Hashable], tokens: int) -> int:
        """The same for a prompt of so many tokens whose full blocks are known by their names, each for all up to its end."""
        reusable = max(tokens - 1, 0) // self._block
        hit = 0
        while hit < min(reusable, len(hashes)) and hashes[hit] in self._blocks:
            hit += 1
        self._touch(hashes)
        self.queried_tokens += tokens
        self.cached_tokens += hit * self._block
        return hit * self._block

    def _hashes(self, ids: Sequence[int], salt: str) -> list[bytes]:
        data = (ids if isinstance(ids, array) else array("I", ids)).tobytes()
        width = self._block * _ID_BYTES
        parent, chain = blake2b(salt.encode(), digest_size=16).digest(), []
        for start in range(0, len(data) - width + 1, width):
            parent = blake2b(data[start : start + width], digest_size=16, key=parent).digest()
            chain.append(parent)
        return chain

    def _touch(self, hashes: Sequence[Hashable]) -> None:
        for name in reversed(hashes):  # the head last: it is the part that other prompts share
            self._blocks[name] = None
            self._blocks.move_to_end(name)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
