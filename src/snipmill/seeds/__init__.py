"""Where seeds come from: sources of code, the functions in them, and the rules that a seed must meet."""
