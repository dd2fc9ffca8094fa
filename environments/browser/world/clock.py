"""Time in the world: it stands still until something is done, and each deed takes a minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

TODAY = date(2031, 3, 14)
_MORNING = datetime(2031, 3, 14, 9, 0)


@dataclass
class Clock:
    deeds: int = 0

    def next(self) -> datetime:
        """When what is done now was done."""
        self.deeds += 1
        return _MORNING + timedelta(minutes=self.deeds)


def day(moment: date) -> str:
    """As all sites write it."""
    return moment.strftime("%Y-%m-%d")


def minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def moment_on(on: date, minutes: int) -> datetime:
    """So many minutes after the beginning of a day."""
    return datetime(on.year, on.month, on.day) + timedelta(minutes=minutes)
