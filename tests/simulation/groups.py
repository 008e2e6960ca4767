"""The group coordinator: consumer groups by the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup).

              somebody joins, leaves, dies             all have joined, or the time for that is over
    empty ─────────────────────────▶ preparing ────────────────────────────────▶ completing
      ▲                                 ▲   ▲                                        │ the leader says who gets what
      └───────── nobody is left ────────┘   └──── somebody joins, leaves, dies ──── stable

Every rebalance is eager: all members have to join again, and those who do not in time are out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from math import inf

from aiokafka.errors import (
    IllegalGenerationError,
    InvalidSessionTimeoutError,
    MemberIdRequired,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import TopicPartition
from tests.simulation.messages import (
    CommitOffsets,
    Done,
    Error,
    FetchOffsetsAnswer,
    Heartbeat,
    Joined,
    JoinGroup,
    LeaveGroup,
    Message,
    Synced,
    SyncGroup,
)
from tests.simulation.settings import BrokerSettings
from tests.simulation.transactions import Brokers

NEW_MEMBER_SECONDS = 300.0
"""A member that joins for the first time knows its name only when the join is answered, and cannot send heartbeats."""


class Later:
    """In the place of an answer: it will come. `answer` is set then, and the cluster tells that it was."""

    __slots__ = ("answer", "call")

    def __init__(self) -> None:
        self.answer: Message | None = None
        self.call: object = None


class State(Enum):
    EMPTY = "empty"
    PREPARING = "preparing"
    COMPLETING = "completing"
    STABLE = "stable"


class Member:
    """`joining`, `syncing`: what it waits for. `deadline`: when it is given up, unless it is heard of before; `checked_at`: when
    that is looked at next.
    """

    __slots__ = (
        "checked_at", "deadline", "is_new", "joining", "name", "partitions", "rebalance", "session", "subscription",
        "syncing",
    )  # fmt: skip

    def __init__(self, name: str, request: JoinGroup) -> None:
        self.name, self.session, self.rebalance = name, request.session, request.rebalance
        self.subscription = request.subscription
        self.partitions: tuple[int, ...] = ()
        self.joining: Later | None = None
        self.syncing: Later | None = None
        self.is_new, self.deadline, self.checked_at = True, 0.0, inf


class Group:
    def __init__(self, name: str) -> None:
        self.name = name
        self.state, self.generation, self.leader = State.EMPTY, 0, ""
        self.members: dict[str, Member] = {}
        self.pending: dict[str, None] = {}
        """Names that were given out, and with which nobody has joined yet."""
        self.unsynced: dict[str, None] = {}
        self.offsets: dict[TopicPartition, int] = {}
        self.begins = False
        """The first members have come, and others may follow for a while before anything is shared out."""
        self.turns = 0
        """Counts rebalances and their halves: a time-out that belongs to an earlier one is void."""
        self.names = 0
        self.settled: tuple[int, str, dict[str, Member]] = (0, "", {})
        """Generation, leader and members as they were written down: what a coordinator finds that takes over."""

    @property
    def all_have_joined(self) -> bool:
        return not self.pending and all(member.joining is not None for member in self.members.values())


class GroupCoordinator:
    """All groups. `answered`: where a `Later` is put when its answer has come."""

    def __init__(self, brokers: Brokers, settings: BrokerSettings, answered: list[Later]) -> None:
        self._brokers, self._settings, self._answered = brokers, settings, answered
        self._groups: dict[str, Group] = {}

    def names(self) -> Iterable[str]:
        return list(self._groups)

    def _answer(self, later: Later | None, answer: Message) -> None:
        if later is not None:
            later.answer = answer
            self._answered.append(later)

    def join(self, request: JoinGroup, now: float) -> Message | Later:
        group = self._groups.get(request.group)
        if group is None:
            if request.member:
                return Joined(UnknownMemberIdError)
            group = self._groups[request.group] = Group(request.group)
        if not self._settings.session_least <= request.session <= self._settings.session_most:
            return Joined(InvalidSessionTimeoutError)
        if not request.member:
            return self._name(group, request, now)
        if request.member in group.pending:
            del group.pending[request.member]
            return self._add(group, Member(request.member, request), now)
        member = group.members.get(request.member)
        if member is None:
            return Joined(UnknownMemberIdError)
        return self._join_again(group, member, request, now)

    def _name(self, group: Group, request: JoinGroup, now: float) -> Message:
        """KIP-394: a new member is given a name first, so that one whose answer is lost does not join twice."""
        group.names += 1
        name = f"{request.client}-{group.names}"
        group.pending[name] = None
        self._brokers.at(now + request.session, self._forget_pending, group, name)
        return Joined(MemberIdRequired, name)

    def _forget_pending(self, group: Group, name: str, now: float) -> None:
        if name in group.pending:
            del group.pending[name]
            if group.state is State.PREPARING and group.members and group.all_have_joined:
                self._complete_join(group, now)

    def _add(self, group: Group, member: Member, now: float) -> Later:
        group.members[member.name] = member
        group.leader = group.leader or member.name
        later = member.joining = Later()
        self._expect(group, member, now, NEW_MEMBER_SECONDS)
        self._rebalance_or_go_on(group, now)
        return later

    def _join_again(self, group: Group, member: Member, request: JoinGroup, now: float) -> Message | Later:
        changed = member.subscription != request.subscription
        unchanged_follower = group.state is State.STABLE and not changed and group.leader != member.name
        if unchanged_follower or (group.state is State.COMPLETING and not changed):
            return self._joined(group, member)  # it has missed the answer, and only has to sync
        member.subscription = request.subscription
        member.session, member.rebalance = request.session, request.rebalance
        self._answer(member.joining, Joined(UnknownMemberIdError))
        later = member.joining = Later()
        self._rebalance_or_go_on(group, now)
        return later

    def _rebalance_or_go_on(self, group: Group, now: float) -> None:
        if group.state is not State.PREPARING:
            self._prepare(group, now)
        elif not group.begins and group.all_have_joined:
            self._complete_join(group, now)

    def _prepare(self, group: Group, now: float) -> None:
        """Everybody has to join again: heartbeats say so, and whoever waits for an assignment is told."""
        for member in group.members.values():
            self._answer(member.syncing, Synced(RebalanceInProgressError))
            member.syncing = None
        group.begins = group.state is State.EMPTY
        group.state = State.PREPARING
        group.unsynced.clear()
        group.turns += 1
        if not group.begins and group.all_have_joined:
            self._complete_join(group, now)
            return
        wait = self._settings.initial_rebalance if group.begins else self._rebalance_seconds(group)
        self._brokers.at(now + wait, self._end_join, group, group.turns)

    def _rebalance_seconds(self, group: Group) -> float:
        return max((member.rebalance for member in group.members.values()), default=0.0)

    def _end_join(self, group: Group, turn: int, now: float) -> None:
        if group.turns == turn and group.state is State.PREPARING:
            group.begins = False
            self._complete_join(group, now)

    def _complete_join(self, group: Group, now: float) -> None:
        """Whoever has not joined is out. The leader stays it, if it has joined."""
        joined = {name: member for name, member in group.members.items() if member.joining is not None}
        group.turns += 1
        if group.members and not joined:  # nobody came back: session time-outs will empty the group
            self._brokers.at(now + self._rebalance_seconds(group), self._end_join, group, group.turns)
            return
        group.members = joined
        group.generation += 1
        if not joined:
            group.state, group.leader = State.EMPTY, ""
            group.settled = (group.generation, "", {})
            return
        if group.leader not in joined:
            group.leader = next(iter(joined))
        group.state = State.COMPLETING
        group.unsynced = dict.fromkeys(joined)
        for member in joined.values():
            later, member.joining, member.is_new = member.joining, None, False
            self._answer(later, self._joined(group, member))
            self._expect(group, member, now, member.session)
        self._brokers.at(now + self._rebalance_seconds(group), self._end_sync, group, group.turns)

    def _joined(self, group: Group, member: Member) -> Joined:
        leads = group.leader == member.name
        members = {name: each.subscription for name, each in group.members.items()} if leads else {}
        return Joined(None, member.name, group.generation, group.leader, members)

    def _end_sync(self, group: Group, turn: int, now: float) -> None:
        if group.turns == turn and group.unsynced:
            for name in group.unsynced:
                del group.members[name]
            self._prepare(group, now)

    def sync(self, request: SyncGroup, now: float) -> Message | Later:
        group = self._groups.get(request.group)
        error = _refusal(group, request.member, request.generation)
        if error is not None or group is None:
            return Synced(error)
        member = group.members[request.member]
        if group.state is State.PREPARING:
            return Synced(RebalanceInProgressError)
        group.unsynced.pop(member.name, None)
        if group.state is State.STABLE:
            return Synced(None, member.partitions)
        later = member.syncing = Later()
        if group.leader == member.name:
            self._share_out(group, request.assignments, now)
        return later

    def _share_out(self, group: Group, assignments: Mapping[str, tuple[int, ...]], now: float) -> None:
        group.state = State.STABLE
        group.settled = (group.generation, group.leader, dict(group.members))
        for member in group.members.values():
            member.partitions = assignments.get(member.name, ())
            if member.syncing is not None:
                self._answer(member.syncing, Synced(None, member.partitions))
                member.syncing = None
                self._expect(group, member, now, member.session)

    def heartbeat(self, request: Heartbeat, now: float) -> Done:
        group = self._groups.get(request.group)
        error = _refusal(group, request.member, request.generation)
        if error is not None or group is None:
            return Done(error)
        member = group.members[request.member]
        member.deadline = now + member.session
        return Done(RebalanceInProgressError if group.state is State.PREPARING else None)

    def _expect(self, group: Group, member: Member, now: float, seconds: float) -> None:
        """From now on the member is given up when it is not heard of for so long."""
        member.deadline = now + seconds
        self._check_at_deadline(group, member)

    def _check_at_deadline(self, group: Group, member: Member) -> None:
        if member.deadline < member.checked_at:
            member.checked_at = member.deadline
            self._brokers.at(member.deadline, self._check, group, member)

    def _check(self, group: Group, member: Member, now: float) -> None:
        if group.members.get(member.name) is not member or member.checked_at > now:
            return
        member.checked_at = inf
        if now < member.deadline:
            self._check_at_deadline(group, member)
        elif member.is_new or (member.joining is None and member.syncing is None):
            self._remove(group, member, now)

    def leave(self, request: LeaveGroup, now: float) -> Done:
        group = self._groups.get(request.group)
        if group is None:
            return Done(UnknownMemberIdError)
        if request.member in group.pending:
            del group.pending[request.member]
            return Done()
        member = group.members.get(request.member)
        if member is None:
            return Done(UnknownMemberIdError)
        self._remove(group, member, now)
        return Done()

    def _remove(self, group: Group, member: Member, now: float) -> None:
        self._answer(member.joining, Joined(UnknownMemberIdError))
        del group.members[member.name]
        if group.leader == member.name:
            group.leader = next(iter(group.members), "")
        if group.state in (State.STABLE, State.COMPLETING):
            self._prepare(group, now)
        elif group.state is State.PREPARING and not group.begins and group.all_have_joined:
            self._complete_join(group, now)

    def commit(self, request: CommitOffsets) -> Done:
        group = self._groups.setdefault(request.group, Group(request.group))
        if request.generation >= 0 or group.members:
            error = _refusal(group, request.member, request.generation)
            if error is None and group.state is State.COMPLETING:
                error = RebalanceInProgressError
            if error is not None:
                return Done(error)
        group.offsets.update(request.offsets)
        return Done()

    def offsets(self, group: str) -> FetchOffsetsAnswer:
        return FetchOffsetsAnswer(None, dict(self._groups[group].offsets) if group in self._groups else {})

    def take_over(self, name: str, now: float) -> None:
        """A new coordinator has read what its predecessor wrote down. Whoever waited for an answer has lost the connection."""
        group = self._groups[name]
        group.turns += 1
        group.pending.clear()
        group.unsynced.clear()
        group.generation, group.leader, members = group.settled
        group.members = dict(members)
        for member in group.members.values():
            member.joining = member.syncing = None
            self._expect(group, member, now, member.session)
        group.state, group.begins = (State.STABLE if group.members else State.EMPTY), False


def _refusal(group: Group | None, name: str, generation: int) -> Error:
    if group is None or name not in group.members:
        return UnknownMemberIdError
    return None if generation == group.generation else IllegalGenerationError
