"""Few-shot prompts: the bank of examples, and one build/parse pair for each generation stage. No IO."""
