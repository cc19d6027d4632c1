"""The exception tree. An exception stops a run; a fault in a single record is a `Reject` (see `records`).

    SnipmillError             exit code 1, never raised itself
    ├── UsageError            2   a configuration, an option or an input file that cannot be used
    ├── ServerError           3   the model server cannot serve the run
    │   ├── ServerUnreachable
    │   ├── AuthenticationFailed
    │   └── ModelNotFound
    ├── ModelUnavailable      3   no weights for the embedded server
    ├── BudgetSpent           6   the tokens or the money that the user allows are used up
    ├── SandboxError          4   programs cannot be isolated here, or the sandbox itself broke
    ├── StoreError            5   the run directory or an output cannot be written
    ├── InputDamaged          7   a part of the input cannot be read; what was made from the rest is written
    ├── NotReproduced         8   a published data set is not what its journals give
    └── HubRefused            9   the hub cannot be reached, or refuses

Every message says what happened, where (file:line or record id) and what to do next.
"""

from __future__ import annotations


class SnipmillError(Exception):
    """Base of all errors. The command line reports each as one sentence."""

    exit_code = 1


class UsageError(SnipmillError):
    """The user's configuration, options or input files cannot be used as they are."""

    exit_code = 2


class ServerError(SnipmillError):
    """The model server cannot serve this run."""

    exit_code = 3


class ServerUnreachable(ServerError):
    """Nothing answers at the address, or it stopped answering."""


class AuthenticationFailed(ServerError):
    """The server refused the key (HTTP 401 or 403)."""


class ModelNotFound(ServerError):
    """The server does not offer the requested model."""


class ModelUnavailable(SnipmillError):
    """The embedded server has no engine or no weights to serve."""

    exit_code = 3


class BudgetSpent(SnipmillError):
    """What the user allows to be spent is spent. A run ends cleanly, and goes on where it stopped with a larger budget."""

    exit_code = 6


class SandboxError(SnipmillError):
    """Programs cannot be isolated on this machine, or the sandbox itself failed repeatedly."""

    exit_code = 4


class StoreError(SnipmillError):
    """A file of the run cannot be written or is locked by another process."""

    exit_code = 5


class InputDamaged(SnipmillError):
    """A file of the input breaks off. What stands before, and all other files, were read, and their outcome is written."""

    exit_code = 7


class NotReproduced(SnipmillError):
    """A published data set is not what its journals give, or a program came out differently."""

    exit_code = 8


class HubRefused(SnipmillError):
    """The hub cannot be reached, or did not take or give what it was asked for."""

    exit_code = 9
