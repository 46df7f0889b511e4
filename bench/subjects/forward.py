"""Plain forwarding: the director's kernel routes between the ends, nothing is balanced."""

from __future__ import annotations

from bench.subjects.base import Subject
from bench.subjects.none import nothing

SUBJECTS = (Subject("forward", "forward", "route", nothing, aims_at="server"),)
