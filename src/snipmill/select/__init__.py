"""From responses that passed to rows that teach: sanitise, choose, deduplicate, render. No IO."""
