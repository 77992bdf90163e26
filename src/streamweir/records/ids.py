"""What a record goes by: its id, and the subject that it is forgotten by."""

from __future__ import annotations

import os
from typing import Final

MAX_SUBJECT: Final = 256
"""Characters of a subject: what a client sends stands in several tables and indexes."""


def new_id(now: float) -> str:
    """A record's id: the milliseconds of its time, and random digits. What comes later stands later in an index."""
    return f"{int(now * 1000):012x}{os.urandom(10).hex()}"


def subject_of(given: object) -> str:
    """A subject as it is kept and looked for: cut where it is longer than `MAX_SUBJECT`."""
    return str(given)[:MAX_SUBJECT]
