"""What holds a slot's programs, as far as it has been set up, and how a refused step is reported."""

from __future__ import annotations

import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


class Walls:
    """The isolation of a slot that has been set up.

    Attributes:
        tier: the tier's name.
        readable: host paths that programs see.
        covered: those that lie in a folder which every program has for itself.
        work: the folder in which programs work, or in which their work folders are created.
        allow_fork: whether programs can create processes.
        private_box: whether the work folder is in a private file system of the slot.
        uid: the user that programs run as, if the tier changes it; `claim` reserves it for this slot.
        tasks_of_user: number of processes and threads that the user has besides the program.
        profile: the Seatbelt profile.
        landlock: descriptor of the ruleset.
        own_proc: whether a program can get a /proc of its own.
        empty_box: fingerprint of the box while it is untouched.
        box_places: the folders in it that a program can write to.
    """

    def __init__(
        self,
        tier: str,
        *,
        readable: tuple[str, ...] = (),
        covered: tuple[str, ...] = (),
        work: str = "",
        allow_fork: bool = True,
        private_box: bool = False,
        profile: str = "",
    ) -> None:
        self.tier = tier
        self.readable = readable
        self.covered = covered
        self.work = work
        self.allow_fork = allow_fork
        self.private_box = private_box
        self.profile = profile
        self.uid: int | None = None
        self.claim: socket.socket | None = None
        self.tasks_of_user = 0
        self.landlock: int | None = None
        self.own_proc = False
        self.empty_box: tuple[object, ...] = ()
        self.box_places: tuple[str, ...] = ()


class StepFailed(Exception):
    """A step of the set-up was refused; the message names it."""


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Turn an OSError into a `StepFailed` that names the step."""
    try:
        yield
    except OSError as error:
        raise StepFailed(f"{name}: {error}") from error
