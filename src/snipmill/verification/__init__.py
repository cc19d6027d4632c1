"""Evidence from executions on whether a response is right."""
