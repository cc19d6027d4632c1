"""Isolated execution of untrusted Python programs: the tiers, the slots and their zygotes, the verdict protocol."""
