"""Seed mining: sources of code, extraction of functions, and the rules that a seed must meet."""
