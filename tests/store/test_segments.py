"""Files as segments: whatever is appended, cut back and pushed, by whichever process, comes back as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snipmill.errors import StoreError
from snipmill.store.lease import Lease
from snipmill.store.mirror import Pulled, Pusher
from snipmill.store.remote import Store
from snipmill.store.segments import Assembled, Segment, parse_segment

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 40)),
        st.tuples(st.just("cut"), st.integers(0, 6)),
        st.tuples(st.just("push"), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 1)),
        st.tuples(st.just("pull"), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("appends", [False, True])
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_what_was_pushed_last_is_what_is_pulled(
    steps: list[tuple[str, int]], appends: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    store = Store(f"local://{folder}/store")
    store.can_append = appends
    reader, session, number = Pulled(store, folder / "reader"), 0, 0

    def begin() -> tuple[Pusher, Path]:
        """A process that goes on from what is on the store."""
        nonlocal session
        session += 1
        own = Pulled(store, folder / f"writer{session}")
        own.pull("shards/0")
        shard = folder / f"writer{session}" / "shards" / "0"
        shard.mkdir(parents=True, exist_ok=True)
        (shard / "a.jsonl").touch()
        lease = Lease("", 0.0, session)
        pusher = Pusher(store, shard, "shards/0", ("a.jsonl",), (), own.ends("shards/0"), lease)
        with pusher:  # the thread is not needed: this test pushes itself
            pusher._ended.set()
        return pusher, shard / "a.jsonl"

    pusher, file = begin()
    pushed = b""
    for step, amount in steps:
        if step == "append":
            number += 1
            with file.open("ab") as lines:
                lines.write(b"%d %b\n" % (number, b"x" * amount))
        elif step == "cut":
            kept = b"".join(file.read_bytes().splitlines(keepends=True)[:amount])
            file.write_bytes(kept)
            pusher.cut(file, len(kept))
        elif step == "push":
            pusher.push()
            pushed = file.read_bytes() or pushed
        elif step == "die":  # with or without a torn line
            late = pusher if amount else None
            with file.open("ab") as lines:
                lines.write(b"torn" * amount)
            pusher, file = begin()
            if late is not None:
                late.push()
        else:
            reader.pull("shards/0")
    with file.open("ab") as lines:
        lines.write(b"end\n")
    pusher.push()
    reader.pull("shards/0")
    assert (folder / "reader/shards/0/a.jsonl").read_bytes() == file.read_bytes()


def test_names_are_those_of_segments() -> None:
    segment = Segment(3, 12, 4096, 100)
    assert parse_segment(segment.name) == segment
    assert [parse_segment(name) for name in ("lease.json", "1-2-3", "a-b-c-d", "")] == [None] * 4
    names = [Segment(*parts, 5).name for parts in ((1, 2, 9), (1, 10, 0), (2, 1, 0))]
    assert names == sorted(names)


def test_what_is_half_read_or_missing_is_told(tmp_path: Path) -> None:
    assembled = Assembled(tmp_path / "a.jsonl", "s3://bucket/a.jsonl")
    with pytest.raises(StoreError, match="has 3 bytes, not as many"):
        assembled.take(Segment(1, 1, 0, 9), b"abc")
    assembled.take(Segment(1, 1, 0, 4), b"abc\n")
    with pytest.raises(StoreError, match="a segment before 000001-00000003-"):
        assembled.take(Segment(1, 3, 9, 4), b"abc\n")


def test_what_comes_too_late_is_in_no_file_of_the_shard(tmp_path: Path) -> None:
    store = Store(f"local://{tmp_path}/store")
    store.can_append = False
    names = ("rows.jsonl", "grown.jsonl")

    def begin(session: int) -> tuple[Pusher, Path]:
        own = Pulled(store, tmp_path / f"writer{session}")
        own.pull("shards/0")
        shard = tmp_path / f"writer{session}" / "shards" / "0"
        shard.mkdir(parents=True, exist_ok=True)
        pusher = Pusher(store, shard, "shards/0", names, (), own.ends("shards/0"), Lease("", 0.0, session))
        with pusher:
            pusher._ended.set()
        return pusher, shard

    def append(shard: Path, text: bytes) -> None:
        for name in names:
            with (shard / name).open("ab") as lines:
                lines.write(text)

    first, here = begin(1)
    append(here, b"one\n")
    first.push()
    second, there = begin(2)
    append(here, b"too late\n")
    first.push()
    with (there / "rows.jsonl").open("ab") as lines:
        lines.write(b"two\n")
    second.push()  # it has nothing new for the other file yet
    reader = Pulled(store, tmp_path / "reader")
    reader.pull("shards/0")
    found = {name: (tmp_path / "reader/shards/0" / name).read_bytes() for name in names}
    assert found == {"rows.jsonl": b"one\ntwo\n", "grown.jsonl": b"one\n"}
