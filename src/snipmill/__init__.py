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
    "snipmill.api.custom": ("Stage",),
    "snipmill.api.iteration": ("AsyncStream", "Stream"),
    "snipmill.api.runs": (
        "Run",
        "arun",
        "audit",
        "export",
        "report",
        "run",
    ),
    "snipmill.api.generation": (
        "aask",
        "aconcepts",
        "ainstructions",
        "aresponses",
        "ask",
        "concepts",
        "instructions",
        "responses",
    ),
    "snipmill.api.execution": (
        "aagree",
        "aexecute",
        "agree",
        "averify",
        "execute",
        "verify",
    ),
    "snipmill.api.mining": ("mine",),
    "snipmill.api.rows": ("read", "select"),
    "snipmill.config": ("Config",),
    "snipmill.config_file": (
        "change_config",
        "load_config",
    ),
    "snipmill.engine.audit": ("Audit",),
    "snipmill.engine.lineage": ("Ancestor",),
    "snipmill.engine.progress": ("Progress",),
    "snipmill.errors": (
        "AuthenticationFailed",
        "BudgetSpent",
        "HubRefused",
        "InputDamaged",
        "ModelNotFound",
        "ModelUnavailable",
        "NotReproduced",
        "SandboxError",
        "ServerError",
        "ServerUnreachable",
        "SnipmillError",
        "StoreError",
        "UsageError",
    ),
    "snipmill.prompts.prompt": ("Prompt",),
    "snipmill.publish.export": ("Exported",),
    "snipmill.reasons": ("Reason",),
    "snipmill.records": (
        "Concepts",
        "Evidence",
        "Examination",
        "Execution",
        "Instruction",
        "Provenance",
        "Record",
        "Reject",
        "Response",
        "Review",
        "Row",
        "Seed",
        "Usage",
        "Verdict",
        "Verification",
    ),
    "snipmill.sandbox.driver": ("Sandbox",),
    "snipmill.sandbox.program": (
        "Limits",
        "Program",
    ),
    "snipmill.seeds.document": ("Document",),
    "snipmill.verification.data_sets": ("Columns",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ancestor",
    "AsyncStream",
    "Audit",
    "AuthenticationFailed",
    "BudgetSpent",
    "Columns",
    "Concepts",
    "Config",
    "Document",
    "Evidence",
    "Examination",
    "Execution",
    "Exported",
    "HubRefused",
    "InputDamaged",
    "Instruction",
    "Limits",
    "ModelNotFound",
    "ModelUnavailable",
    "NotReproduced",
    "Program",
    "Progress",
    "Prompt",
    "Provenance",
    "Reason",
    "Record",
    "Reject",
    "Response",
    "Review",
    "Row",
    "Run",
    "Sandbox",
    "SandboxError",
    "Seed",
    "ServerError",
    "ServerUnreachable",
    "SnipmillError",
    "Stage",
    "StoreError",
    "Stream",
    "Usage",
    "UsageError",
    "Verdict",
    "Verification",
    "__version__",
    "aagree",
    "aask",
    "aconcepts",
    "aexecute",
    "agree",
    "ainstructions",
    "aresponses",
    "arun",
    "ask",
    "audit",
    "averify",
    "change_config",
    "concepts",
    "execute",
    "export",
    "instructions",
    "load_config",
    "mine",
    "read",
    "report",
    "responses",
    "run",
    "select",
    "verify",
]

if TYPE_CHECKING:
    from snipmill.api.custom import Stage
    from snipmill.api.execution import aagree, aexecute, agree, averify, execute, verify
    from snipmill.api.generation import (
        aask,
        aconcepts,
        ainstructions,
        aresponses,
        ask,
        concepts,
        instructions,
        responses,
    )
    from snipmill.api.iteration import AsyncStream, Stream
    from snipmill.api.mining import mine
    from snipmill.api.rows import read, select
    from snipmill.api.runs import Run, arun, audit, export, report, run
    from snipmill.config import Config
    from snipmill.config_file import change_config, load_config
    from snipmill.engine.audit import Audit
    from snipmill.engine.lineage import Ancestor
    from snipmill.engine.progress import Progress
    from snipmill.errors import (
        AuthenticationFailed,
        BudgetSpent,
        HubRefused,
        InputDamaged,
        ModelNotFound,
        ModelUnavailable,
        NotReproduced,
        SandboxError,
        ServerError,
        ServerUnreachable,
        SnipmillError,
        StoreError,
        UsageError,
    )
    from snipmill.prompts.prompt import Prompt
    from snipmill.publish.export import Exported
    from snipmill.reasons import Reason
    from snipmill.records import (
        Concepts,
        Evidence,
        Examination,
        Execution,
        Instruction,
        Provenance,
        Record,
        Reject,
        Response,
        Review,
        Row,
        Seed,
        Usage,
        Verdict,
        Verification,
    )
    from snipmill.sandbox.driver import Sandbox
    from snipmill.sandbox.program import Limits, Program
    from snipmill.seeds.document import Document
    from snipmill.verification.data_sets import Columns


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'snipmill' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
