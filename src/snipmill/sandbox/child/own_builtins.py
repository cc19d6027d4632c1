"""A copy of the builtins for the code that runs beside a program, which may replace `len`, `isinstance` or `open`.

A module that begins with `__builtins__ = BUILTINS` looks up builtins there, in all functions that it defines afterwards.
"""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BUILTINS: Any = dict(vars(builtins))
