"""Where seeds come from. Each source gives documents and rejects in a fixed order; nothing in it is ever imported or run."""
