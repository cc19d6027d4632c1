"""The public Python API; the package's `__all__` lists its names.

Functions are synchronous, and work where an event loop is running, too, as in a notebook. Those whose names begin with `a` are for
asynchronous programs. All of them raise `SnipmillError` where no single record can be blamed. Stages are functions over iterables,
lazy and in order: each takes records of one kind and gives those of the next.

    seeds = mine("path/to/code")
    tasks = instructions(concepts(seeds))
    rows = select(verify(responses(tasks)))
"""
