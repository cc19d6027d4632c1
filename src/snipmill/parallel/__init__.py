"""Many tasks in order: on one event loop, and in chunks on all cores."""
