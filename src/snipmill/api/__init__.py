"""The public Python API; the package's `__all__` lists its names.

Functions are synchronous, and work where an event loop is running, too, as in a notebook. Those whose names begin with `a` are for
asynchronous programs. All of them raise `SnipmillError` where no single record can be blamed.
"""
