"""Files to and from the hub. Every refusal is one sentence; what was sent already is not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from snipmill.errors import HubRefused, UsageError
from snipmill.publish.digests import read_sums
from snipmill.publish.journals import SUMS
from snipmill.tables.hub import PREFIX

_ATTRIBUTES = ".gitattributes"  # the hub's own
_GROUP = 50  # files that are sent before the next ones are looked at
_MEANING = {
    401: "it does not know the token; log in with `hf auth login`, or set HF_TOKEN",
    402: "the account's quota is used up",
    403: "the token may not write there; give one with the right to write, or another name",
    404: "there is no such data set, or the token may not see it",
    409: "it is being changed at the same time; try again",
    412: "it was changed at the same time; try again",
    413: "a file or the whole is too large for it; give a smaller --shard-rows",
    429: "it asks for fewer requests; try again later",
}


class Pushed(NamedTuple):
    """Where a folder is on the hub, its commit, and whether only its owner sees it."""

    url: str
    commit: str
    private: bool


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise UsageError("The hub needs huggingface_hub: run `pip install 'snipmill[hub]'`.") from None
    return huggingface_hub


def repository_name(text: str) -> str:
    """A name as the hub takes it, without `hub:`.

    Raises:
        UsageError: it is none.
    """
    name = text.removeprefix(PREFIX)
    hub = _library()
    try:
        hub.utils.validate_repo_id(name)
    except hub.errors.HFValidationError as error:
        raise UsageError(f"{text!r} is no name on the hub: {error} Give OWNER/NAME.") from None
    if name.count("/") != 1:
        raise UsageError(f"{text!r} is no name on the hub: give OWNER/NAME.")
    return name


def push_folder(
    folder: Path, name: str, message: str, *, public: bool, force: bool, tell: Callable[[str], None]
) -> Pushed:
    """Make a data set on the hub the same as a folder, in one commit.

    Large files are sent first, a few at a time; what the hub has already is not sent again, so the same command goes on after a
    failure. Nothing is visible before the commit. Files that an earlier release listed in its checksums and this one does not have
    are deleted; others are left alone.

    Args:
        folder: what to push; it holds its checksums.
        name: OWNER/NAME.
        message: of the commit.
        public: whether everybody may see it.
        force: whether files that no earlier release wrote may be replaced.
        tell: called with how far it is.

    Raises:
        HubRefused: the hub cannot be reached, or refuses.
        UsageError: the data set is public and `public` is not given, or files of others would be replaced.
    """
    hub = _library()
    api = hub.HfApi(library_name="snipmill")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with _refusals(name):
        url = str(api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True))
        about = api.repo_info(name, repo_type="dataset")
        if not about.private and not public:
            raise UsageError(
                f"{PREFIX}{name} is public. Give --public if everybody may see this, or give another name."
            )
        head = about.sha
        there = set(api.list_repo_files(name, repo_type="dataset", revision=head))
        released = _released(hub, name, head) if SUMS in there else set()
        additions = [hub.CommitOperationAdd(path.relative_to(folder).as_posix(), str(path)) for path in paths]
        ours = {addition.path_in_repo for addition in additions}
        foreign = sorted((ours & there) - released - {_ATTRIBUTES})
        if foreign and not force:
            raise UsageError(
                f"{PREFIX}{name} holds {foreign[0]}, which no release of snipmill wrote. Give --force to replace it, or "
                "another name."
            )
        sent, rest = 0, iter(additions)
        while group := list(islice(rest, _GROUP)):
            api.preupload_lfs_files(name, group, repo_type="dataset", revision="main", free_memory=False)
            sent += len(group)
            tell(f"{sent:,} of {len(additions):,} files sent")
        operations = [*additions, *map(hub.CommitOperationDelete, sorted(released & there - ours - {_ATTRIBUTES}))]
        info = api.create_commit(name, operations, commit_message=message, repo_type="dataset", parent_commit=head)
    return Pushed(url, str(info.oid), bool(about.private))


def _released(hub: Any, name: str, revision: str) -> set[str]:
    """The files that an earlier release wrote, by its checksums."""
    path = hub.hf_hub_download(name, SUMS, repo_type="dataset", revision=revision)
    return {*read_sums(Path(path)), SUMS}


def fetch_folder(name: str, revision: str | None, tell: Callable[[str], None]) -> Path:
    """Fetch a data set from the hub into the library's cache; what is there already is not fetched again.

    Raises:
        HubRefused: the hub cannot be reached, or refuses.
    """
    hub = _library()
    tell(f"fetching {name}")
    with _refusals(name):
        return Path(hub.snapshot_download(name, repo_type="dataset", revision=revision))


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Whatever the library raises, as one sentence."""
    hub = _library()
    hub.utils.disable_progress_bars()
    try:
        yield
    except (hub.errors.HTTPError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise HubRefused(
            f"{PREFIX}{name}: the hub refused: {_why(error)}. What was sent is kept; run the same command again."
        ) from (error)


def _why(error: BaseException) -> str:
    """What stands at the root of an error of the library."""
    chain = [error]
    while (above := chain[-1].__cause__ or chain[-1].__context__) is not None and above not in chain:
        chain.append(above)
    for one in chain:
        status = getattr(getattr(one, "response", None), "status_code", None)
        if status is not None:
            known = "it has trouble of its own; try again later" if status >= 500 else _MEANING.get(status)
            said = " ".join(str(getattr(one, "server_message", None) or "").split())[:200]
            return f"{known or said or 'no reason was given'} (HTTP {status})"
    root = chain[-1]
    return f"{type(root).__name__}: {' '.join(str(root).split())[:200]}".rstrip(". ")
