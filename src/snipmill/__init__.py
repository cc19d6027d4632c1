"""Snipmill: source code in, a verified instruction-tuning data set out."""

__version__ = "0.1.0"
