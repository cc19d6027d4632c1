"""Sources of code. Each yields documents and rejects in a fixed order. Their code is never imported or run."""
