"""Infers missing imports, for functions that somebody else cut out of their files.

Only unambiguous imports are inferred: standard-library modules, and packages by their usual short names, if the code
uses an attribute of them; and well-known names from standard-library modules.
"""

from __future__ import annotations

import re
import sys
import typing

_ALIASES = {
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "tf": "import tensorflow as tf",
    "nx": "import networkx as nx",
    "sp": "import scipy as sp",
    "xr": "import xarray as xr",
    "jnp": "import jax.numpy as jnp",
    "plt": "import matplotlib.pyplot as plt",
    "sns": "import seaborn as sns",
    "F": "import torch.nn.functional as F",
    "nn": "from torch import nn",
    "ET": "import xml.etree.ElementTree as ET",
    "dt": "import datetime as dt",
}
_PACKAGES = ("jax", "networkx", "numpy", "pandas", "requests", "scipy", "sklearn", "sympy", "tensorflow", "torch")
_NAMES = {
    "abc": ("ABC", "ABCMeta", "abstractmethod"),
    "bisect": ("bisect_left", "bisect_right", "insort"),
    "collections": ("ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"),
    "contextlib": ("contextmanager", "suppress"),
    "copy": ("deepcopy",),
    "dataclasses": ("asdict", "dataclass"),
    "datetime": ("date", "datetime", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "enum": ("Enum", "IntEnum"),
    "fractions": ("Fraction",),
    "functools": ("cached_property", "lru_cache", "partial", "reduce", "total_ordering", "wraps"),
    "heapq": ("heapify", "heappop", "heappush", "nlargest", "nsmallest"),
    "itertools": (
        "accumulate",
        "chain",
        "combinations",
        "combinations_with_replacement",
        "groupby",
        "islice",
        "permutations",
        "product",
        "starmap",
        "takewhile",
        "zip_longest",
    ),
    "math": ("ceil", "floor", "gcd", "isclose", "sqrt"),
    "operator": ("attrgetter", "itemgetter"),
    "pathlib": ("Path", "PurePath"),
    "string": ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "hexdigits", "punctuation"),
    "textwrap": ("dedent",),
    "typing": tuple(name for name in typing.__all__ if name[:1].isupper() or name in ("cast", "overload")),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


_USED_AS_MODULE = {"datetime": re.compile(r"(?<![\w.])datetime\.(?:datetime|date|timedelta|timezone)\b")}


def infer_import(name: str, code: str) -> str | None:
    """The import statement that binds a name, or None if it is ambiguous.

    Args:
        name: a name that the code does not bind.
        code: the code that uses it.
    """
    if name in _HOMES and not (name in _USED_AS_MODULE and _USED_AS_MODULE[name].search(code)):
        return f"from {_HOMES[name]} import {name}"
    if re.search(rf"(?<![\w.]){re.escape(name)}\s*\.\s*[A-Za-z_]", code) is None:
        return None
    if name in _ALIASES:
        return _ALIASES[name]
    is_module = name in _PACKAGES or (name in sys.stdlib_module_names and not name.startswith("_"))
    return f"import {name}" if is_module else None
