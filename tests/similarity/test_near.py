from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.similarity.minhash import near_duplicates, signatures
from snipmill.similarity.semantic import semantic_duplicates
from snipmill.similarity.shingles import ngram_hashes, word_hashes
from tests.conftest import Snipmill, read_lines, write_lines

WORDS = [f"word{number}" for number in range(500)]


def text(seed: int, length: int = 60) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def varied(words: list[str], changes: int, seed: int) -> list[str]:
    draw, changed = random.Random(seed), words[:]
    for place in draw.sample(range(len(words)), changes):
        changed[place] = f"other{draw.random()}"
    return changed


def clusters(texts: list[str], threshold: float, order: list[int] | None = None) -> dict[int, int]:
    places = np.array(order if order is not None else range(len(texts)), dtype=np.int64)
    return near_duplicates(signatures(texts), places, threshold)


def test_near_copies_are_found_and_others_are_not() -> None:
    originals = [text(seed) for seed in range(100)]
    copies = [varied(words, 2, seed) for seed, words in enumerate(originals)]
    texts = [" ".join(words) for words in [*originals, *copies]]
    found = clusters(texts, 0.5)
    right = sum(found.get(100 + number) == number for number in range(100))
    assert right >= 97
    assert not any(number < 100 for number in found)


def test_the_kept_member_does_not_depend_on_the_order_of_arrival() -> None:
    texts = [" ".join(varied(text(number % 20), number % 3, number)) for number in range(200)]
    ranks = list(range(200))
    random.Random(1).shuffle(ranks)
    kept_by_rank = set(ranks) - set(clusters(texts, 0.5, ranks))
    for attempt in range(3):
        arrival = list(range(200))
        random.Random(attempt).shuffle(arrival)
        shuffled = [texts[number] for number in arrival]
        order = [arrival.index(number) for number in ranks]
        kept = {arrival[place] for place in set(range(200)) - set(clusters(shuffled, 0.5, order))}
        assert kept == kept_by_rank


def test_responses_to_one_instruction_are_no_near_copies_of_each_other(snipmill: Snipmill, tmp_path: Path) -> None:
    task, other = " ".join(text(1)), " ".join(text(2))
    rows = [
        {"id": f"{name}-{n}", "instruction": said, "response": f"{name} " + " ".join(text(10 * n + len(name)))}
        for name, said in (("one", task), ("same", " ".join(varied(text(1), 1, 7))), ("other", other))
        for n in range(3)
    ]
    write_lines(tmp_path / "rows", *rows)
    done = snipmill("select", "rows", "--out", "o", "--keep", "all", "--no-decontaminate")
    assert done.returncode == 0, done.stderr
    stay = {row["id"] for row in read_lines(tmp_path / "o")}
    # Two tasks are nearly the same: all three rows of one of them go.
    assert stay - {"other-0", "other-1", "other-2"} in ({"one-0", "one-1", "one-2"}, {"same-0", "same-1", "same-2"})
    assert {reject["reason"] for reject in read_lines(tmp_path / "o.rejects.jsonl")} == {"near-duplicate"}


def test_short_and_empty_texts_have_signatures() -> None:
    assert signatures(["", "one", "one two three four"]).shape == (3, 64)
    assert clusters(["", "", "one", "one"], 0.7) == {3: 2}


def test_rows_of_code_alone_are_compared_as_code(snipmill: Snipmill, tmp_path: Path) -> None:
    codes = [f"def {name}(x):\n    return {' + '.join(text(n, 9))}" for n, name in enumerate(("one", "two", "three"))]
    codes.append(codes[0].replace("(x)", "(x, y)"))
    rows = [{"id": f"r{n}", "instruction": " ".join(text(n)), "response": code} for n, code in enumerate(codes)]
    write_lines(tmp_path / "rows", *rows)
    assert snipmill("select", "rows", "--out", "o", "--no-decontaminate", "--near-code", 0.6).returncode == 0
    assert len(read_lines(tmp_path / "o")) == 3
    assert clusters(["a b c", "a b c", "x y z"], 0.9) == {1: 0}


@given(st.lists(st.sampled_from(WORDS), max_size=20), st.integers(1, 6))
def test_a_run_of_words_has_the_same_hash_wherever_it_stands(words: list[str], n: int) -> None:
    whole = ngram_hashes(word_hashes(" ".join(words)), n)
    if len(words) < n:
        assert len(whole) == min(len(words), 1)
        return
    for start in range(len(words) - n + 1):
        alone = ngram_hashes(word_hashes(" \n".join(words[start : start + n])), n)
        assert whole[start] == alone[0]


def test_instructions_that_mean_the_same_are_found(tmp_path: Path, snipmill: Snipmill) -> None:
    """With a real model2vec model, made here: words that mean the same have the same vector."""
    tokenizers = pytest.importorskip("tokenizers")
    model2vec = pytest.importorskip("model2vec")
    meanings = {"sum": 0, "add": 0, "numbers": 1, "integers": 1, "sort": 2, "order": 2, "words": 3, "[UNK]": 4}
    vocabulary = {word: number for number, word in enumerate(meanings)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vectors = np.eye(5, dtype=np.float32)[list(meanings.values())]
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(str(tmp_path / "model"))
    texts = ["sum numbers", "add integers", "sort words", "order words", "sort numbers"]
    rows = [{"id": text, "instruction": text, "response": f"r {text}"} for text in texts]
    write_lines(tmp_path / "rows", *rows)
    options = ["--near-instructions", 0, "--near-code", 0, "--semantic", 0.9, "--embedding-model"]
    done = snipmill("select", "rows", "--out", "o", *options, "model")
    assert done.returncode == 0, done.stderr
    assert len(read_lines(tmp_path / "o")) == 3
    rejects = read_lines(tmp_path / "o.rejects.jsonl")
    assert [reject["reason"] for reject in rejects] == ["semantic-duplicate"] * 2
    missing = snipmill("select", "rows", "--out", "o", *options, "./nowhere")
    assert missing.returncode == 2 and "no embedding model" in missing.stderr


def test_semantic_duplicates_are_found_across_blocks() -> None:
    vectors = np.tile(np.eye(300, dtype=np.float32), (5, 1))
    found = semantic_duplicates(vectors, np.arange(1500, dtype=np.int64), 0.9)
    assert len(found) == 1200 and all(row % 300 == other for row, other in found.items())
