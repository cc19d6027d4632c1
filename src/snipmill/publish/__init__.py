"""What goes out with a data set."""
