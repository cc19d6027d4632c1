"""Isolated execution of untrusted Python programs: tiers, slots with their zygotes, and the verdict protocol."""
