"""Whether a snippet exercises the concepts that are named for it, as far as its syntax tree tells.

A concept that names a construct of the language ("recursion", "generators") is looked for as that construct. Of any other one, a
word must occur in the code, its comments or its docstring. So `absent` is evidence, while `unseen` only deserves a look.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snipmill.python_tree import parse_module

Test = Callable[[Sequence[ast.AST], str], bool]
_WORDS = re.compile(r"[A-Za-z]{3,}")
_PARTS = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
_EMPTY_WORDS = frozenset(["and", "for", "with", "from", "into", "the", "their", "its", "use", "using", "used"])


@dataclass(frozen=True, slots=True)
class Evidence:
    """Concepts of which the construct is not in the snippet (`absent`), and those of which no word is (`unseen`)."""

    absent: tuple[str, ...]
    unseen: tuple[str, ...]


def look_for_concepts(snippet: str, concepts: Sequence[str]) -> Evidence:
    """Look for each concept in a Python snippet; nothing is said of code that cannot be parsed."""
    try:
        tree = parse_module(snippet)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Evidence((), ())
    nodes = list(ast.walk(tree))
    stems = {part.lower()[:5] for word in _WORDS.findall(snippet) for part in _PARTS.findall(word)}
    absent, unseen = [], []
    for concept in concepts:
        tests = [test for words, test in _CONSTRUCTS if words.search(concept)]
        if any(test(nodes, snippet) for test in tests):
            continue
        named = {word.lower()[:5] for word in _WORDS.findall(concept) if word.lower() not in _EMPTY_WORDS}
        if tests:
            absent.append(concept)
        elif not named & stems:
            unseen.append(concept)
    return Evidence(tuple(absent), tuple(unseen))


def _has(*kinds: type[ast.AST]) -> Test:
    return lambda nodes, _code: any(isinstance(node, kinds) for node in nodes)


def _says(pattern: str) -> Test:
    compiled = re.compile(pattern)
    return lambda _nodes, code: compiled.search(code) is not None


def _either(*tests: Test) -> Test:
    return lambda nodes, code: any(test(nodes, code) for test in tests)


def _calls_itself(nodes: Sequence[ast.AST], _code: str) -> bool:
    for function in nodes:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                called = node.func if isinstance(node, ast.Call) else None
                name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
                if name == function.name:
                    return True
    return False


def _is_nested(kinds: tuple[type[ast.AST], ...]) -> Test:
    def test(nodes: Sequence[ast.AST], _code: str) -> bool:
        return any(
            isinstance(node, kinds) and any(inner is not node and isinstance(inner, kinds) for inner in ast.walk(node))
            for node in nodes
        )

    return test


_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.comprehension)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_MAPPING = _either(
    _has(ast.Dict, ast.DictComp),
    _says(r"\bdict\b|Dict|Mapping|Counter|\.items\(|\.get\(|\.keys\(|\.values\(|[A-Z]{4,}\[|\[\w*(?:name|key)\]"),
)
_FORMATTING = _either(_has(ast.JoinedStr), _says(r"\.format\(|['\"]\s*%|\bformat\(|str\("))
_TAKES_FUNCTIONS = _either(
    _is_nested(_FUNCTIONS), _says(r"Callable|\bkey\(|function|callback|predicate|\btest\(|lambda")
)
_CONSTRUCTS: tuple[tuple[re.Pattern[str], Test], ...] = tuple(
    (re.compile(words, re.IGNORECASE), test)
    for words, test in (
        (r"\brecursi", _calls_itself),
        (r"\bgenerators?\b(?! expression)", _either(_has(ast.Yield, ast.YieldFrom), _has(ast.GeneratorExp))),
        (r"\bgenerator expressions?\b", _has(ast.GeneratorExp)),
        (r"\bcomprehensions?\b", _has(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)),
        (r"\bregular expressions?\b|\bregex", _says(r"\bre\.|\bregex\b|import re\b")),
        (r"\bnested loops?\b", _is_nested(_LOOPS)),
        (
            r"\b(?:loops?|loop(?:ing)?|iterat\w+)\b",
            _either(_has(*_LOOPS), _says(r"\b(?:map|filter|iter|next|itertools)\b")),
        ),
        (r"\bwhile loops?\b", _has(ast.While)),
        (r"\b(?:nested functions?|closures?|inner functions?)\b", _is_nested(_FUNCTIONS)),
        (
            r"\bdecorators?\b",
            _either(_is_nested(_FUNCTIONS), _says(r"^\s*@(?!property|staticmethod|classmethod|dataclass)")),
        ),
        (r"\blambdas?\b", _has(ast.Lambda)),
        (r"\bslic(?:es?|ing)\b", _has(ast.Slice)),
        (r"\bsort(?:s|ed|ing)?\b", _says(r"\bsort|\bheap|\bbisect|\binsort|\bordered")),
        (r"\bbinary search\b", _says(r"//\s*2|>>\s*1|\bbisect|\binsort")),
        (
            r"\b(?:dict(?:ionar(?:y|ies))?s?|hash ?maps?|mappings?)\b",
            _MAPPING,
        ),
        (r"(?<!disjoint )\bsets?\b", _either(_has(ast.Set, ast.SetComp), _says(r"\bset\b|\bfrozenset\b|\.keys\("))),
        (r"\btuples?\b", _either(_has(ast.Tuple), _says(r"\btuple\b"))),
        (
            r"\bclass(?:es)?\b|\bobject[- ]oriented\b|\binheritance\b",
            _either(_has(ast.ClassDef), _says(r"\bself\b|\bcls\b")),
        ),
        (r"\b(?:exceptions?|raising|error handling|exception handling)\b", _has(ast.Raise, ast.Try, ast.ExceptHandler)),
        (r"\bexception handling\b|\btry\b", _has(ast.Try)),
        (
            r"\b(?:input|argument|parameter) validation\b",
            _either(_has(ast.Raise, ast.Assert), _says(r"\bisinstance\(")),
        ),
        (
            r"\bstring formatting\b|\bf-strings?\b|\bnumber formatting\b",
            _FORMATTING,
        ),
        (r"\bcontext managers?\b", _has(ast.With, ast.AsyncWith)),
        (r"\basync|\bcoroutines?\b", _has(ast.AsyncFunctionDef, ast.Await)),
        (r"\btranspos", _says(r"zip\(\s*\*")),
        (r"\bmatri(?:x|ces)\b|\btwo-dimensional\b", _either(_is_nested(_LOOPS), _says(r"\]\s*\["))),
        (r"\blookup tables?\b", _has(ast.Dict, ast.List, ast.Tuple, ast.Subscript)),
        (r"\b(?:stacks?)\b", _says(r"\.pop\(\)|\.append\(|stack")),
        (r"\b(?:queues?|deques?)\b", _says(r"deque|popleft|queue|pop\(0\)|heap")),
        (r"\bpriority queues?\b|\bheaps?\b", _says(r"heap|PriorityQueue")),
        (r"\b(?:caching|memoi[sz]ation|caches?)\b", _says(r"cache|memo|\bin (?:results|known|seen)")),
        (r"\b(?:modular arithmetic|modulo|remainders?)\b", _says(r"%|divmod")),
        (
            r"\b(?:bit manipulation|bitwise)\b",
            _has(ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift, ast.Invert),
        ),
        (r"\b(?:dates?|timedeltas?|time spans?)\b", _says(r"date|time|day|year")),
        (r"\b(?:observer|publish)", _says(r"callback|listener|handler|subscrib|observer")),
        (r"\bunsubscri", _says(r"unsubscri|remove|discard")),
        (
            r"\b(?:higher-order functions?|functions as arguments|callbacks?)\b",
            _TAKES_FUNCTIONS,
        ),
        (r"\bfile (?:handling|i/?o|reading|writing)\b", _says(r"\bopen\(|Path|\.read|\.write|file")),
        (r"\b(?:type (?:hints?|annotations?))\b", _either(_has(ast.AnnAssign), _says(r"->|def \w+\([^)]*:"))),
    )
)
