from __future__ import annotations

import pytest

from snipmill.languages import language_named, language_of
from snipmill.records import Reject, Seed
from snipmill.seeds.document import Document
from snipmill.seeds.mine_document import MineSettings, mine_document

FILES = {
    "C++": (
        "a.cpp",
        """
namespace a {
/**
 * Adds two numbers.
 */
template <typename T>
T add(T a, T b) { return a + b; }

/// Prints it.
void show(int x) { print(x); }
// no documentation
int foo(int x) { return x; }
class C {
  /// How long it is,
  /// in characters.
  int length(const std::string& s) const { return s.size(); }
};
}
""",
        {"add": "kept", "show": "no-return-value", "length": "kept"},
    ),
    "Java": (
        "A.java",
        """
public class A {
  /** The sum. */
  @Override
  public static int sum(int[] xs) { int t = 0; for (int x : xs) t += x; return t; }
  /** Nothing. */
  void f(int x) {}
  /** One. */
  int one() { return 1; }
}
""",
        {"sum": "kept", "f": "no-return-value", "one": "no-arguments"},
    ),
    "PHP": (
        "a.php",
        """<?php
/** Doubles it. */
function dbl($x) { return 2 * $x; }
class A { /** Halves it. TODO */ public function half(int $x): float { return $x / 2; } }
""",
        {"dbl": "kept", "half": "unfinished"},
    ),
    "Rust": (
        "a.rs",
        """
/// Adds one.
#[inline]
pub fn add_one(x: i32) -> i32 { x + 1 }
impl S {
    /// Gets it.
    pub fn get(&self) -> i32 { 1 }
    /// With more.
    pub fn with(&self, n: usize) -> usize {
        n + 1
    }
}
""",
        {"add_one": "kept", "get": "no-arguments", "with": "kept"},
    ),
    "TypeScript": (
        "a.ts",
        """
/** Adds them. */
export function add(a: number, b: number): number { return a + b; }
/** Nothing. */
function no(a: number): void { console.log(a); }
class X {
  /** Twice it. */
  twice(a: number): number {
    return 2 * a;
  }
}
/** Broken. */
function broken(a: number): number { return a + ; }
""",
        {"add": "kept", "no": "no-return-value", "twice": "kept", "broken": "syntax-error"},
    ),
}


@pytest.mark.parametrize("language", FILES)
def test_documented_functions_of_other_languages(language: str) -> None:
    path, code, expected = FILES[language]
    assert language_of(path) == language
    document = Document(path, code, language, path=path, license="MIT")
    found = list(mine_document(document, MineSettings()))
    outcomes = [one.reason if isinstance(one, Reject) else "kept" for one in found]
    assert outcomes == list(expected.values())
    for one in found:
        if isinstance(one, Seed):
            assert one.language == language and one.provenance is not None
            start, end = one.provenance.line_start, one.provenance.line_end
            assert start is not None and end is not None
            lines = code.split("\n")[start - 1 : end]
            assert [line.strip() for line in lines] == [line.strip() for line in one.seed.split("\n")]
            assert not one.seed.startswith(" ")


def test_languages_by_any_name() -> None:
    assert [language_named(name) for name in ("cpp", "PYTHON", " rust", "ts", "COBOL")] == [
        "C++",
        "Python",
        "Rust",
        "TypeScript",
        None,
    ]
    assert language_of("a.b/c") is None
