"""What runs on the far side: the server of a slot, its zygotes, and the harness around one program.

These files import nothing but the standard library and each other, so that any Python 3.11+ can run them.
"""
