"""What is like what: near duplicates, contamination and semantic duplicates. Pure."""
