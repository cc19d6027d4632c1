"""Runs on a Ray cluster. Nothing outside this room knows Ray."""
