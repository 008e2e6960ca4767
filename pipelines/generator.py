"""A seeded stream of lines as sshd writes them: everyday traffic of some hosts, with labelled attacks in it.

For demonstrations and tests. The same seed gives the same lines; no line is anybody's data (addresses are from the ranges
that RFC 5737 keeps for documentation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from random import Random
from typing import Literal

HOSTS = ("web-1", "web-2", "db-1", "build-7")
USERS = ("alice", "bob", "carol", "deploy", "backup")
GUESSES = ("root", "admin", "test", "oracle", "ubuntu", "postgres", "git", "pi")
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)

Kind = Literal["brute_force", "takeover", "scan"]


@dataclass(frozen=True, slots=True)
class Episode:
    """An attack in the stream, as the truth that a detector is measured by. Times in ms since the epoch."""

    kind: Kind
    host: str
    ip: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log and when it was written (ms since the epoch)."""

    time: int
    host: str
    text: str


class SshdLog:
    """`hours` of logs of four hosts, about 250 lines an hour, and one attack per host and hour on average."""

    def __init__(self, seed: int, hours: float, start: datetime = START) -> None:
        self._seed, self._start, self._end = seed, int(start.timestamp()) * 1000, int(hours * 3_600_000)
        self.episodes: tuple[Episode, ...] = tuple(
            sorted(self._draw_episodes(Random(f"{seed}/episodes")), key=lambda episode: episode.start)
        )

    def lines(self) -> Iterator[Line]:
        """In order of time, but for a few that are late by seconds, as everywhere."""
        streams = [self._everyday(host) for host in HOSTS]
        streams += [self._attack(episode) for episode in self.episodes]
        return merge(*streams, key=lambda line: (line.time, line.host, line.text))

    def _draw_episodes(self, random: Random) -> Iterator[Episode]:
        for host in HOSTS:
            at = random.expovariate(1 / 3_600_000)
            while at < self._end:
                kind: Kind = random.choice(("brute_force", "brute_force", "takeover", "scan"))
                length = random.randrange(30_000, 120_000)
                start = self._start + int(at)
                yield Episode(kind, host, _address(random), start, start + length)
                at += length + random.expovariate(1 / 3_600_000)

    def _everyday(self, host: str) -> Iterator[Line]:
        random = Random(f"{self._seed}/{host}")
        at = random.expovariate(1 / 60_000)
        while at < self._end:
            time, pid, ip = self._start + int(at), random.randrange(1000, 32_000), _address(random)
            user, port = random.choice(USERS), random.randrange(1024, 65_535)
            if random.random() < 0.06:
                yield _line(time, host, pid, f"Failed password for {user} from {ip} port {port} ssh2")
                time += random.randrange(1000, 4000)
            yield _line(time, host, pid, f"Accepted publickey for {user} from {ip} port {port} ssh2")
            yield _line(time + 1, host, pid, f"pam_unix(sshd:session): session opened for user {user} by (uid=0)")
            at += random.expovariate(1 / 60_000)

    def _attack(self, episode: Episode) -> Iterator[Line]:
        random = Random(f"{self._seed}/{episode.host}/{episode.start}")
        pause = 4_000 if episode.kind == "scan" else 900
        time, host, ip = episode.start, episode.host, episode.ip
        while time < episode.end:
            pid, port, guess = random.randrange(1000, 32_000), random.randrange(1024, 65_535), random.choice(GUESSES)
            who = "root" if guess == "root" else f"invalid user {guess}"
            yield _line(time, host, pid, f"Failed password for {who} from {ip} port {port} ssh2")
            time += 1 + int(random.expovariate(1 / pause))
        if episode.kind == "takeover":
            pid, port = random.randrange(1000, 32_000), random.randrange(1024, 65_535)
            yield _line(time, host, pid, f"Accepted password for root from {ip} port {port} ssh2")


def _address(random: Random) -> str:
    return f"{random.choice(NETWORKS)}.{random.randrange(1, 255)}"


def _line(time: int, host: str, pid: int, message: str) -> Line:
    stamp = datetime.fromtimestamp(time // 1000, UTC)
    return Line(time, host, f"{stamp:%b} {stamp.day:2d} {stamp:%H:%M:%S} {host} sshd[{pid}]: {message}")
