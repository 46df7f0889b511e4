"""`reload_time_file`: a reload at a time that somebody writes into a file (spec 2.2)."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

LOOK_S = 1.0
_TIME = re.compile(r"(?:(\d{2}|\d{4})-(\d\d)-(\d\d) )?(\d\d):(\d\d):(\d\d)(Z?)")
_CENTURY = 2000


def parse(text: str, now_s: float) -> float | None:
    """Returns the moment that a text names, in seconds since 1970; None if it names none.

    `HH:MM:SS` is the next such time; `YY-MM-DD` or `YYYY-MM-DD` before it name the day; a `Z` at
    the end means UTC instead of local time.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, utc = match.groups()
    zone = datetime.UTC if utc else None
    now = datetime.datetime.fromtimestamp(now_s, zone)
    try:
        when = now.replace(hour=int(hour), minute=int(minute), second=int(second), microsecond=0)
        if year:
            full = int(year) + (_CENTURY if len(year) == 2 else 0)
            when = when.replace(year=full, month=int(month), day=int(day))
    except ValueError:
        return None
    if not year and when < now:
        when += datetime.timedelta(days=1)
    return when.timestamp()


@dataclass(slots=True)
class Plan:
    """The reload that is planned; the file may change until then."""

    _text: str = ""
    _due_s: float | None = None

    def is_due(self, path: Path, now_s: float) -> bool:
        """Returns whether the time in the file has come; it is told once."""
        try:
            text = path.read_text(encoding="ascii", errors="replace")
        except OSError:
            text = ""
        if text != self._text:
            self._text = text
            self._due_s = parse(text, now_s)
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = None
        return True
