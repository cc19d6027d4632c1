"""What an execution proves about a response."""
