"""What runs on the far side: the server of a slot, its zygotes, and the harness around one program.

These files import nothing but the standard library and each other, so that any Python 3.11+ can run them; and little of that, since
zygotes carry all of it into every fork: hence `typing` for type checkers alone, and some modules only where they are used.
"""
