"""Whose turn it is, and how much one caller may have: the SQL of both, and what is told to who has it all.

A caller is its token, else its session or its client: `owner` and `scope` of a row.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ...errors import ToolFailure
from ...storage.postgres import Opened

DAY_S = 24 * 3600.0
# How many jobs of the same caller run.
RUNNING_OF_ONE = "(select count(*) from jobs r where r.state='running' and r.owner=jobs.owner and r.scope=jobs.scope)"
# In which order queued jobs are claimed, if none ends meanwhile: who has fewer running comes first.
AHEAD = (
    "with line as (select id, short, created, row_number() over (partition by owner, scope order by created, id) "
    f"+ {RUNNING_OF_ONE} as turn from jobs where state='queued' and home in (?, '')) "
    "select count(*) from line o, line m where m.id=? and (o.short=1 or m.short=0) and "
    "(o.turn, o.created, o.id) < (m.turn, m.created, m.id)"
)
USED_S = (
    "select coalesce(sum((case when ended>0 then ended else ? end)-(case when claimed>? then claimed else ? end)), 0) "
    "from jobs where owner=? and claimed>0 and (state='running' or ended>?)"
)


@dataclass(frozen=True)
class Slots:
    """How many jobs may run at a time on a machine; 0 is none.

    `guest` more for callers of whom none runs, while others have all; `of_caller` of one token (0: no limit).
    """

    long: int
    short: int = 0
    guest: int = 0
    of_caller: int = 0


@dataclass(frozen=True)
class Quota:
    """What one token may have: jobs that have not ended, and seconds of jobs within a day; 0 is no limit."""

    jobs: int = 0
    seconds: float = 0


def next_of(home: str, place: str, slots: Slots, among: Collection[str] | None) -> tuple[str, list[Any]]:
    """The query for the queued job whose turn it is and that there is a slot for, with its values.

    Args:
        among: the only ones that may be taken.
    """
    chosen = "" if among is None else f" and id in ({','.join('?' * len(among)) or 'null'})"
    here = "(select count(*) from jobs where state='running' and place=?)"
    long = "(short=1 or (select count(*) from jobs where state='running' and place=? and short=0) < ?)"
    room = f"({here} < ? and {long})"
    query = (
        f"select id from jobs where state='queued' and home in (?, ''){chosen} "
        f"and (?=0 or owner='' or {RUNNING_OF_ONE} < ?) and ({room} or ({RUNNING_OF_ONE}=0 and {room})) "
        f"order by {RUNNING_OF_ONE}, created, id limit 1"
    )
    every = slots.long + slots.short
    usual = (place, every, place, slots.long)
    guests = (place, every + slots.guest, place, slots.long + slots.guest)
    return query, [home, *(among or ()), slots.of_caller, slots.of_caller, *usual, *guests]


@dataclass(frozen=True)
class Taken:
    """What one token has of its quota."""

    jobs: int = 0
    seconds: float = 0.0


def taken(db: Opened, owner: str) -> Taken:
    """What a token has; who has none is the one owner of everything, of whom nothing is counted."""
    if not owner:
        return Taken()
    query = "select count(*) from jobs where owner=? and state in ('queued','running')"
    return Taken(int(db.execute(query, (owner,)).fetchone()[0]), _used_s(db, owner))


def require_room(db: Opened, owner: str, quota: Quota) -> None:
    """Raises ToolFailure if a token has all that it may."""
    has = taken(db, owner) if owner and quota != Quota() else Taken()
    if quota.jobs and has.jobs >= quota.jobs:
        raise ToolFailure(
            f"{has.jobs} jobs of {owner} have not ended, and it may have {quota.jobs} at a time (runtime.caller_jobs)",
            "Wait for one with get_job, or end one with cancel_job.",
        )
    if quota.seconds and has.seconds >= quota.seconds:
        raise ToolFailure(
            f"jobs of {owner} have run for {has.seconds:.0f} s within a day, and {quota.seconds:.0f} s are allowed "
            "(runtime.caller_job_s)",
            "Wait until some of it is a day old, end what runs with cancel_job, or ask whoever runs the server.",
        )


def _used_s(db: Opened, owner: str) -> float:
    now = time.time()
    since = now - DAY_S
    return float(db.execute(USED_S, (now, since, since, owner, since)).fetchone()[0])
