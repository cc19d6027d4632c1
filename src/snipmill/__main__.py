"""`python -m snipmill` is the `snipmill` command."""

from snipmill.cli import main

if __name__ == "__main__":
    main()
