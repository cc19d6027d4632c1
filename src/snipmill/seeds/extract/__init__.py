"""What is taken out of a file of code: documented functions, methods and classes, each with what it needs to stand alone."""
