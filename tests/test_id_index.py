from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snipmill.id_index import IdIndex


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 1 << 62)), max_size=200))
def test_it_is_a_map(entries: list[tuple[str, int]]) -> None:
    places, plain = IdIndex(), dict[str, int]()
    for key, number in entries:
        places.put(key, number)
        plain[key] = number
    assert len(places) == len(plain)
    assert {key: places.get(key) for key in plain} == plain
    assert "not there, being too long" not in places


def test_it_grows_and_stays_small() -> None:
    places = IdIndex()
    for number in range(50_000):
        places.put(f"r-{number}", number)
    assert all(places.get(f"r-{number}") == number for number in range(50_000))
    assert places.get("r-50000") is None
    assert (len(places._map._keys) + len(places._map._values)) * 8 <= 50_000 * 48
