from __future__ import annotations

import pytest

from snipmill.records import Reject, Seed
from snipmill.seeds.extract.inference import infer_import
from snipmill.seeds.extract.module import Module
from snipmill.seeds.extract.names import names_of
from snipmill.seeds.mine_document import MineSettings, mine_document
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


FUTURE = "from __future__ import annotations\n"


def context_of(code: str, file: str = FILE, max_lines: int = 60) -> str | Malformed:
    found = Module.read(syntax_tree(file.encode())).context_of(code, max_lines)
    return found if isinstance(found, Malformed) else found.code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(x):\n    return x", ""),
        ("def f(x):\n    m = 1\n    return m + x", ""),
        ("def f(x):\n    return table(list, x)", "from collections import defaultdict as table"),
        (
            "def f(x: List[int]):\n    return deque(x)",
            f"{FUTURE}from collections import deque\nfrom typing import List",
        ),
        (
            "def f(x):\n    return helper(x)",
            f"{FUTURE}import math as m\nfrom typing import Any\n\n\nLIMIT = 3\n\n\nLIMIT += 1\n\n\n"
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
    rules = Rules(allow=frozenset({"context-too-long", "unfinished"}))
    checked = 0
    for document in stdlib_documents(""):
        assert not isinstance(document, Reject)
        for seed in mine_document(
            document, MineSettings(rules=rules, kinds=frozenset({"function", "method", "class"}))
        ):
            if isinstance(seed, Seed) and " import *" not in seed.seed:
                assert not names_of(seed.seed).needed, seed.provenance
                checked += 1
    assert checked > 1300


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


def loaded(code: str, file: str) -> dict[str, object]:
    """A seed as a module: what stands before the function, and the function."""
    context = context_of(code, file)
    assert isinstance(context, str)
    scope: dict[str, object] = {}
    exec(f"{context}\n\n\n{code}", scope)  # noqa: S102 - written below
    return scope


def test_annotations_that_are_never_evaluated_stay_so() -> None:
    file = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from decimal import Decimal\n"
    )
    assert "f" in loaded("def f(x: Decimal) -> Decimal:\n    return x", file)


def test_the_last_binding_counts() -> None:
    scope = loaded("def f(x):\n    return floor(x)", "from math import floor\n\ndef floor(x):\n    return -1\n")
    assert scope["f"](2.5) == -1  # type: ignore[operator]
    scope = loaded("def f(x):\n    return floor(x)", "def floor(x):\n    return -1\n\nfrom math import floor\n")
    assert scope["f"](2.5) == 2  # type: ignore[operator]


def test_what_is_filled_at_top_level_comes_filled() -> None:
    file = "TABLE = {}\nfor i in range(3):\n    TABLE[i] = i * i\nTABLE['z'] = 5\nTABLE.update(y=7)\nOTHER = {}\nOTHER[1] = 2\n"
    scope = loaded("def f(x):\n    return TABLE[x]", file)
    assert [scope["f"](key) for key in (2, "z", "y")] == [4, 5, 7]  # type: ignore[operator]
    assert "OTHER" not in scope


def test_submodules_of_a_package_all_come() -> None:
    found = context_of(
        "def f(x):\n    return xml.dom.minidom.parse(x)", "import xml.dom.minidom\nimport xml.etree.ElementTree\n"
    )
    assert found == "import xml.dom.minidom\nimport xml.etree.ElementTree"


def test_names_read_in_a_class_before_it_binds_them() -> None:
    scope = loaded("def f(x):\n    return C.LIMIT + x", "LIMIT = 3\n\nclass C:\n    LIMIT = LIMIT\n")
    assert scope["f"](1) == 4  # type: ignore[operator]


def test_nothing_is_inferred_where_a_star_import_may_bind_it() -> None:
    assert context_of("def f(x):\n    return sqrt(x)", "from numpy import *\n") == "from numpy import *"
