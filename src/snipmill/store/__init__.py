"""Files: JSON lines in and out, journals, and the run directory."""
