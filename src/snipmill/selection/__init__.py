"""Turns responses that passed into training rows: sanitise, choose, deduplicate, render. No IO."""
