"""Which schedules to try next, and when it is enough."""
