"""What carries a run out: the flow of a seed, live, planned or by hand; and what is told about a run."""
