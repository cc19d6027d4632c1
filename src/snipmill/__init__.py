"""Snipmill: source code in, a verified instruction-tuning data set out.

Everything in `__all__` is public; a name is imported when it is first used, so that `import snipmill` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = (
    False  # type checkers take it for true; `typing` itself would cost every program of the sandbox a millisecond
)
__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "snipmill.api": ("Run", "arun", "audit", "mine", "run"),
    "snipmill.config": ("Config",),
    "snipmill.config_file": ("change_config", "load_config"),
    "snipmill.engine.audit": ("Audit",),
    "snipmill.errors": (
        "AuthenticationFailed",
        "ModelNotFound",
        "ModelUnavailable",
        "SandboxError",
        "ServerError",
        "ServerUnreachable",
        "SnipmillError",
        "StoreError",
        "UsageError",
    ),
    "snipmill.reasons": ("Reason",),
    "snipmill.records": (
        "Concepts",
        "Execution",
        "Instruction",
        "Provenance",
        "Reject",
        "Response",
        "Row",
        "Seed",
        "Verdict",
        "Verification",
    ),
    "snipmill.sandbox.driver": ("Sandbox",),
    "snipmill.sandbox.program": ("Limits", "Program"),
    "snipmill.verify.data_sets": ("Columns",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # pinned by a test
    "Audit",
    "AuthenticationFailed",
    "Columns",
    "Concepts",
    "Config",
    "Execution",
    "Instruction",
    "Limits",
    "ModelNotFound",
    "ModelUnavailable",
    "Program",
    "Provenance",
    "Reason",
    "Reject",
    "Response",
    "Row",
    "Run",
    "Sandbox",
    "SandboxError",
    "Seed",
    "ServerError",
    "ServerUnreachable",
    "SnipmillError",
    "StoreError",
    "UsageError",
    "Verdict",
    "Verification",
    "__version__",
    "arun",
    "audit",
    "change_config",
    "load_config",
    "mine",
    "run",
]

if TYPE_CHECKING:
    from snipmill.api import Run, arun, audit, mine, run
    from snipmill.config import Config
    from snipmill.config_file import change_config, load_config
    from snipmill.engine.audit import Audit
    from snipmill.errors import (
        AuthenticationFailed,
        ModelNotFound,
        ModelUnavailable,
        SandboxError,
        ServerError,
        ServerUnreachable,
        SnipmillError,
        StoreError,
        UsageError,
    )
    from snipmill.reasons import Reason
    from snipmill.records import (
        Concepts,
        Execution,
        Instruction,
        Provenance,
        Reject,
        Response,
        Row,
        Seed,
        Verdict,
        Verification,
    )
    from snipmill.sandbox.driver import Sandbox
    from snipmill.sandbox.program import Limits, Program
    from snipmill.verify.data_sets import Columns


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'snipmill' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
