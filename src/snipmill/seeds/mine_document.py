"""Mines one document for seeds: licence, file rules, extraction, function rules and the context of each function.

The result depends only on the document and the settings. Does not cover checks across documents (duplicates),
benchmarks, secrets and types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from tree_sitter import Node

from snipmill.config import Kind
from snipmill.languages import PYTHON
from snipmill.reasons import Reason
from snipmill.records import Provenance, Reject, Seed, content_hash
from snipmill.seeds.document import STAGE, Document, read_document, reject_document
from snipmill.seeds.extract.function import Function
from snipmill.seeds.extract.module import Module
from snipmill.seeds.extract.python import extract_functions, first_error
from snipmill.seeds.licenses.expressions import PERMISSIVE, is_allowed
from snipmill.seeds.licenses.headers import license_of_header
from snipmill.seeds.rules import Rules, check_file, check_function, check_modules, check_snippet
from snipmill.text.code import syntax_tree
from snipmill.text.sections import Malformed


@dataclass(frozen=True, slots=True)
class MineSettings:
    """What to mine: the rules, the kinds of definition, and the allowed licences as SPDX ids or `any`."""

    rules: Rules = field(default_factory=Rules)
    kinds: frozenset[Kind] = frozenset({"function"})
    licenses: frozenset[str] = PERMISSIVE


def seed_id(code: str, language: str = "Python") -> str:
    """The id of a seed: a hash of its text and language. Equal code has the same id wherever it is found."""
    return f"s-{content_hash(language, code)}"


def mine_document(document: Document, settings: MineSettings) -> Iterator[Seed | Reject]:
    """The seeds of a document, and a reject for each documented function that is dropped or for the whole document."""
    if document.license is not None and not is_allowed(document.license, settings.licenses):
        yield _refused(document, document.license)
        return
    code = read_document(document)
    if isinstance(code, Reject):
        yield code
        return
    own = None if document.license_is_final else license_of_header(code.text)
    license = own or document.license
    if not is_allowed(license or "", settings.licenses):
        yield _refused(document, license)
        return
    broken = check_file(document.path or "", code.text, settings.rules)
    if broken is not None:
        yield reject_document(document.shown, broken.reason, broken.detail)
        return
    origin = Provenance(
        source=document.source,
        revision=document.revision,
        path=document.path,
        license=license,
        content_hash=code.sha256,
    )
    if document.language == PYTHON:
        root = syntax_tree(code.text.encode("utf-8", "surrogatepass"))
        for function, snippet in _mine_python(document, root, settings):
            yield _outcome(document, origin, function, snippet)
        broken_at = first_error(root)
        if broken_at is not None:
            detail = f"cannot be parsed at line {broken_at}; the functions that can be parsed are used."
            yield reject_document(document.shown, Reason.FILE_SYNTAX_ERROR, detail)
        return
    # The grammars are an optional extra, needed only for these languages.
    from snipmill.seeds.extract.languages import extract_documented

    for function in extract_documented(code.text, document.language):
        broken = _unparsed(function) or check_function(function, settings.rules)
        yield _outcome(document, origin, function, broken or function.code)


def _refused(document: Document, license: str | None) -> Reject:
    if license is None:
        detail = "has no known licence; state one with --license, or allow all with --licenses any."
        return reject_document(document.shown, Reason.LICENSE_UNKNOWN, detail)
    return reject_document(document.shown, Reason.LICENSE_NOT_ALLOWED, f"is under {license}; --licenses excludes it.")


def _mine_python(document: Document, root: Node, settings: MineSettings) -> Iterator[tuple[Function, str | Malformed]]:
    """Each function with its snippet, or with the reason why it has none."""
    module: Module | None = None
    for function in extract_functions(root, settings.kinds):
        broken = check_function(function, settings.rules) or _unparsed(function)
        if broken is not None:
            yield function, broken
            continue
        module = module or Module.read(root)
        yield function, _with_context(function, module, document.package, settings.rules)


def _unparsed(function: Function) -> Malformed | None:
    return Malformed(Reason.SYNTAX_ERROR, f"{function.name} cannot be parsed.") if function.broken else None


def _with_context(function: Function, module: Module, package: str, rules: Rules) -> str | Malformed:
    context = module.context_of(function.code, rules.max_context_lines, rules.allow)
    if isinstance(context, Malformed):
        return Malformed(context.reason, f"{function.name}: {context.detail}")
    wrong = check_modules(function.name, context.modules | function.modules, package, rules)
    if wrong is not None:
        return wrong
    if not context.code:
        return function.code
    return check_snippet(function.name, context.code, rules) or f"{context.code}\n\n\n{function.code}"


def _outcome(document: Document, origin: Provenance, function: Function, snippet: str | Malformed) -> Seed | Reject:
    """The seed made from a snippet, or a reject that says what is wrong with the function."""
    if isinstance(snippet, Malformed):
        detail = f"{document.shown}:{function.line_start}: {snippet.detail}"
        return Reject(id=seed_id(function.code, document.language), stage=STAGE, reason=snippet.reason, detail=detail)
    provenance = msgspec.structs.replace(origin, line_start=function.line_start, line_end=function.line_end)
    return Seed(id=seed_id(snippet, document.language), seed=snippet, language=document.language, provenance=provenance)
