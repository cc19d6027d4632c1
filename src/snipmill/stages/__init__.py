"""The stages of the pipeline: the list of them, and what carries each one out."""
