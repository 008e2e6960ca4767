"""How the state of a task is cut: by the hash of its keys."""

from __future__ import annotations

from zlib import crc32

BUCKETS_MAX = 4096
"""The finest cut of a task's keys into buckets."""


def finest_bucket(name: str) -> int:
    """CRC-32 of the key's UTF-8 text modulo BUCKETS_MAX; coarser cuts are this modulo their own number."""
    return crc32(name.encode()) % BUCKETS_MAX
