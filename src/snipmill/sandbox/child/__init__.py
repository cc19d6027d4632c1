"""The code that runs in the sandbox's processes: the server of a slot, its zygotes, and the harness around one program.

These files import only the standard library and each other, so that any Python 3.11+ can run them. They import as
little as possible, since every fork of a zygote inherits it: `typing` is imported for type checkers only, and some
modules only where they are used.
"""
