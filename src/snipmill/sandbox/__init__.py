"""Isolated execution of untrusted Python programs: the tiers, the fork server, the verdict protocol."""
