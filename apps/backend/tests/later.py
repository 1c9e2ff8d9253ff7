"""Time that passes in a test."""

from datetime import timedelta

import time_machine

from app.core.clock import utc_now


def later(**delta: float) -> time_machine.travel:
    """Go on as if so many `days=`, `hours=`, `seconds=` had passed since now."""
    return time_machine.travel(utc_now() + timedelta(**delta))
