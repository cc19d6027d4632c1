from __future__ import annotations

import pytest

from snipmill.records import Reject, Seed
from snipmill.seeds.extract.inference import infer_import
from snipmill.seeds.extract.module import Module
from snipmill.seeds.extract.names import names_of
from snipmill.seeds.mine import MineSettings, mine_document
from snipmill.seeds.rules import Rules
from snipmill.seeds.sources.stdlib import stdlib_documents
from snipmill.text.code import syntax_tree
from snipmill.text.sections import Malformed

FILE = '''
"""A module."""
from __future__ import annotations
import re, math as m
from collections import defaultdict as table, deque
from typing import (
    Any,
    List,
)
try:
    import json
except ImportError:
    json = None

LIMIT = 3
_PATTERN = re.compile("a")
LIMIT += 1

def helper(x: Any) -> int:
    return m.floor(x) + LIMIT

class Box:
    size = LIMIT

if __name__ == "__main__":
    hidden = 1
'''


def context_of(code: str, file: str = FILE, max_lines: int = 60) -> str | Malformed:
    found = Module.read(syntax_tree(file.encode())).context_of(code, max_lines)
    return found if isinstance(found, Malformed) else found.code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(x):\n    return x", ""),
        ("def f(x):\n    m = 1\n    return m + x", ""),
        ("def f(x):\n    return table(list, x)", "from collections import defaultdict as table"),
        ("def f(x: List[int]):\n    return deque(x)", "from collections import deque\nfrom typing import List"),
        (
            "def f(x):\n    return helper(x)",
            "import math as m\nfrom typing import Any\n\n\nLIMIT = 3\n\n\nLIMIT += 1\n\n\n"
            "def helper(x: Any) -> int:\n    return m.floor(x) + LIMIT",
        ),
        ("def f(x):\n    return _PATTERN.sub('', x)", 'import re\n\n\n_PATTERN = re.compile("a")'),
        ("def f(x):\n    return json.dumps(x)", "try:\n    import json\nexcept ImportError:\n    json = None"),
        ("def f(x):\n    return [helper for helper in x]", ""),
        ("def f(x):\n    return f(x - 1) if x else 0", ""),
        ("def f(x):\n    return np.sum(x) + itertools.chain", "import itertools\nimport numpy as np"),
    ],
)
def test_a_function_gets_what_it_needs_and_nothing_else(code: str, expected: str) -> None:
    assert context_of(code) == expected


def test_what_cannot_stand_alone_says_why() -> None:
    for code, reason in (
        ("def f(x):\n    return nowhere(x)", "undefined-name"),
        ("def f(x):\n    return hidden + x", "undefined-name"),
        ("def f(x):\n    print x\n    return x", "syntax-error"),
    ):
        found = context_of(code)
        assert isinstance(found, Malformed) and found.reason == reason
    long = context_of("def f(x):\n    return helper(x)", max_lines=3)
    assert isinstance(long, Malformed) and long.reason == "context-too-long"
    star = context_of("def f(x):\n    return sin(x)", "from math import *\n")
    assert star == "from math import *"


def test_helpers_that_call_each_other_come_once() -> None:
    file = "def odd(x):\n    return x and even(x - 1)\n\ndef even(x):\n    return not x or odd(x - 1)\n"
    found = context_of("def f(x):\n    return even(x)", file)
    assert isinstance(found, str) and found.count("def odd") == found.count("def even") == 1


def test_every_seed_of_the_standard_library_stands_alone() -> None:
    rules = Rules(allow=frozenset({"context-too-long"}))
    checked = 0
    for document in stdlib_documents(""):
        assert not isinstance(document, Reject)
        for seed in mine_document(
            document, MineSettings(rules=rules, kinds=frozenset({"function", "method", "class"}))
        ):
            if isinstance(seed, Seed) and " import *" not in seed.seed:
                assert not names_of(seed.seed).needed, seed.provenance
                checked += 1
    assert checked > 1500


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("defaultdict", "x = defaultdict(list)", "from collections import defaultdict"),
        ("re", "re.sub('a', 'b', x)", "import re"),
        ("datetime", "datetime.now()", "from datetime import datetime"),
        ("datetime", "datetime.datetime.now()", "import datetime"),
        ("np", "np.array(x)", "import numpy as np"),
        ("np", "np + 1", None),
        ("code", "code + 1", None),
        ("self", "self.x", None),
        ("List", "x: List[int]", "from typing import List"),
    ],
)
def test_only_unmistakable_imports_are_inferred(name: str, code: str, expected: str | None) -> None:
    assert infer_import(name, code) == expected
