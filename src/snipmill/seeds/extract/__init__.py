"""Extraction of documented functions, methods and classes, each with the context that it needs to stand alone."""
