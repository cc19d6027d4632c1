"""Licences as SPDX expressions: read from texts, headers and package metadata, and checked against an allow-list.

An unrecognised licence stays unknown: no licence is guessed from a text that merely resembles it.
"""
