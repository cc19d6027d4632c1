"""The taskset under a name of its own: verifiers takes a taskset's id for the name of a top-level module."""

from snipmill.rewards.taskset import OneAnswer, SnipmillTaskset

__all__ = ["OneAnswer", "SnipmillTaskset"]
