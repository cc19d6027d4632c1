"""Licences as SPDX expressions: read out of texts, headers and package metadata, and held against an allow-list.

A licence that is not recognised stays unknown: nothing is guessed from a text that is merely like one.
"""
