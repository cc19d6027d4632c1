"""Files that are published with a data set."""
