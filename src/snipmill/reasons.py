"""The reason codes of rejects: each names one rule that a record broke. Codes are stable; users filter by them.

docs/data.md has the same list as a table, generated from here (`python -m snipmill.cli.reference`).
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A reason code, with the stages that give it and an example of what they drop.

    In `stages`, *reading* stands for any stage that reads a file, and *generation* for any that asks a model.
    """

    stages: str
    example: str

    def __new__(cls, code: str, stages: str = "", example: str = "") -> Reason:
        """A code with its documentation."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.stages = stages
        reason.example = example
        return reason

    # Lines that are no record
    NOT_JSON = "not-json", "*reading*", '`{"seed": "tru`; the id is file:line'
    NOT_AN_OBJECT = "not-an-object", "*reading*", "`[1, 2]`"
    MISSING_FIELD = "missing-field", "*reading*", '`{"seed": null}`'
    WRONG_TYPE = "wrong-type", "*reading*", '`{"seed": 3}`'
    DAMAGED_FILE = "damaged-file", "*reading*", "a compressed file that breaks off; what stands before is kept"
    UNKNOWN_LANGUAGE = "unknown-language", "*reading*", '`{"language": "COBOL"}`'
    DUPLICATE_RECORD = "duplicate-record", "*reading*", "a second record with the same id"

    # Documents and functions that do not become seeds
    DUPLICATE_SEED = "duplicate-seed", "seeds", "the same code a second time"
    DOCSTRING_NOT_TRIPLE_QUOTED = "docstring-not-triple-quoted", "seeds", '`def f(x): "Add one."`'
    NO_ARGUMENTS = "no-arguments", "seeds", "`def f(): return 1`"
    NO_RETURN_VALUE = "no-return-value", "seeds", "`def f(x): print(x)`"
    TOO_LONG = "too-long", "seeds", "151 lines"
    LONG_LINE = "long-line", "seeds", "a line of 300 characters"
    NOT_ASCII = "not-ascii", "seeds", "a docstring mostly in Japanese"
    NESTED_TOO_DEEPLY = "nested-too-deeply", "seeds", "61 brackets within each other"
    UNFINISHED = "unfinished", "seeds", "a comment `# TODO: negative numbers`"
    DENIED_IMPORT = "denied-import", "seeds", "uses `os.path`; `seeds.denied_modules` lists the modules"
    NEEDS_ITS_PACKAGE = "needs-its-package", "seeds", "the function, or what it needs, uses `from .helpers import area`"
    UNDEFINED_NAME = "undefined-name", "seeds", "`xrange(n)`"
    TYPE_ERROR = "type-error", "seeds", '`-> int` and `return "a"`'
    TYPES_NOT_CHECKED = "types-not-checked", "seeds", "the type checker crashes, or takes more than a minute"
    CONTEXT_TOO_LONG = "context-too-long", "seeds", "needs a table of 200 lines from its file"
    SYNTAX_ERROR = "syntax-error", "seeds, execute", "`print x`; a Python block that does not compile, executed or not"
    FILE_SYNTAX_ERROR = "file-syntax-error", "seeds", "a part of the file cannot be parsed"
    TEST_FILE = "test-file", "seeds", "`tests/test_area.py`"
    GENERATED_FILE = "generated-file", "seeds", '"automatically generated, do not edit" in its first lines'
    LICENSE_UNKNOWN = "license-unknown", "seeds", "no licence in the file or in any folder above it"
    LICENSE_NOT_ALLOWED = "license-not-allowed", "seeds", "GPL-3.0-only, where only permissive licences are allowed"
    SECRET = "secret", "seeds", "a key of a cloud service; only its kind and line are named"
    PERSONAL_DATA = "personal-data", "seeds", "an e-mail address; only its kind and line are named"
    NOT_TEXT = "not-text", "seeds", "a binary or UTF-16 file named `x.py`"
    FILE_TOO_LARGE = "file-too-large", "seeds", "more than 2 MB"
    UNREADABLE = "unreadable", "seeds", "a pipe; a file without read permission"
    NOT_A_ROW = "not-a-row", "seeds", "a row of a table without code"
    OTHER_LANGUAGE = "other-language", "seeds", "Rust, where only Python is requested"
    JUDGED_UNFIT = "judged-unfit", "judge, seeds", "the judge's probability is below the threshold"

    # Requests without a usable completion
    NO_ANSWER = "no-answer", "*generation*", "the journal holds no answer"
    NOT_FINISHED = "not-finished", "*generation*", "1536 tokens without an end"
    THINKING_NOT_FINISHED = (
        "thinking-not-finished",
        "*generation*",
        "`<think>` without an end; raise `model.max_thinking_tokens`, or switch thinking off in `model.extra_body`",
    )
    PROMPT_TOO_LONG = "prompt-too-long", "*generation*", 'HTTP 400 "maximum context length"'
    REFUSED_BY_SERVER = "refused-by-server", "*generation*", "HTTP 422"
    EMPTY_COMPLETION = "empty-completion", "*generation*", "three answers without text"
    SERVER_FAILED = "server-failed", "*generation*", "failed 60 times while other requests succeeded"
    NO_VERDICT = "no-verdict", "judge", "the completion begins with neither yes nor no"
    NO_CONCEPTS = "no-concepts", "concepts", "an empty line"
    NOT_A_CONCEPT_LIST = "not-a-concept-list", "concepts", "a sentence; a block of code"
    NOT_A_TASK = "not-a-task", "instructions", '"Okay, so I need to write a task that ..."'
    INSTRUCTION_TOO_SHORT = "instruction-too-short", "instructions", '"Sort it." (fewer than 20 characters)'
    INSTRUCTION_TOO_LONG = "instruction-too-long", "instructions", "more than 8,000 characters"
    INSTRUCTION_WITH_RESPONSE = "instruction-with-response", "instructions", 'goes on with "[Reasoning]"'
    REPETITIVE = "repetitive", "instructions, responses", "the same assertion again and again"

    NO_ASSERTIONS = (
        "no-assertions",
        "assertions",
        "asked for assertions, the model explains the task; the samples go on without",
    )

    # Responses that are not well-formed
    TAG_MISSING = "tag-missing", "responses, execute, sanitize", "no [Tests]"
    TAG_REPEATED = "tag-repeated", "responses, execute, sanitize", "two [Tests]"
    TAGS_OUT_OF_ORDER = "tags-out-of-order", "responses, execute, sanitize", "[Tests] before [Explanation]"
    TEXT_BEFORE_REASONING = "text-before-reasoning", "responses, execute, sanitize", '"Sure! [Reasoning] ..."'
    NO_IMPLEMENTATION = "no-implementation", "responses, execute, sanitize", "[Implementation] has no closed code block"
    NO_TESTS = "no-tests", "responses, execute, sanitize", "[Tests] has no code block"
    TESTS_NOT_PYTHON = "tests-not-python", "responses, execute, sanitize", "a block marked `bash`"
    TESTS_IN_OTHER_LANGUAGE = "tests-in-other-language", "responses, sanitize", "a Rust task with tests marked `python`"
    TESTS_NOT_CLOSED = "tests-not-closed", "responses, execute, sanitize", "no closing fence"
    SEVERAL_TEST_BLOCKS = "several-test-blocks", "responses, execute, sanitize", "two code blocks in [Tests]"

    # Programs that did not pass
    FAILED = "failed", "execute", "`assert double(2) == 5`, with both values"
    VACUOUS = "vacuous", "execute", "tests that check nothing, or only `f(1) is not None`, which proves nothing"
    UNKNOWN_TESTS = "unknown-tests", "execute", "tests in a column of their own, in no layout that is known"
    TIMEOUT = "timeout", "execute", "`while True: pass`"
    MEMORY = "memory", "execute", "`bytearray(1 << 40)`"
    OUTPUT_LIMIT = "output-limit", "execute", "prints without end"
    KILLED = "killed", "execute", "ended by a signal, as by a crash of the interpreter"
    UNSUPPORTED = (
        "unsupported",
        "execute",
        "`import torch` where it is not installed, a server where the tier has no network; tried again by the next run",
    )
    SANDBOX_ERROR = "sandbox-error", "execute, verify", "our fault; it never counts against the code"
    FLAKY = "flaky", "verify", "failed when run again with another hash seed"
    VACUOUS_TESTS = (
        "vacuous-tests",
        "verify",
        "the tests pass with all function bodies removed, or one of them never ran",
    )
    CONTRADICTED = "contradicted", "verify", "most other implementations contradict all of its assertions"

    # Rows that are not well-formed, or not chosen
    TESTS_WITHOUT_ASSERT = "tests-without-assert", "sanitize", "`print(f(1))`, where nothing was executed"
    TESTS_NOT_CALLED = "tests-not-called", "sanitize", "nothing but `def test_f(): ...`, where nothing was executed"
    INCOMPLETE = "incomplete", "sanitize", "`# your code here` (style `smart`)"
    WEAK_TESTS = "weak-tests", "select", "below `select.min_mutation` or `min_reached`"
    LITTLE_AGREEMENT = "little-agreement", "select", "below `select.min_agreement`"
    LOW_CONFIDENCE = (
        "low-confidence",
        "select",
        "below `select.min_confidence` or `min_rare_confidence`, or beyond `max_wrong`",
    )
    UNVERIFIED = "unverified", "select", "in a language that is not executed; `select.unverified` keeps it"
    TOO_MANY_EASY = "too-many-easy", "select", "beyond the share of easy tasks (`select.max_easy`)"
    NOT_CHOSEN = "not-chosen", "select", "another response to the same instruction was chosen"
    DUPLICATE_INSTRUCTION = "duplicate-instruction", "select", "equal to an earlier row's, white space aside"
    DUPLICATE_RESPONSE = "duplicate-response", "select", "equal to an earlier row's, white space aside"
    DUPLICATE_NAMES = "duplicate-names", "select", "the same function names (`select.name_diversity`)"
    NEAR_DUPLICATE = "near-duplicate", "seeds, select", "two versions of one function; see docs/selection.md"
    SEMANTIC_DUPLICATE = "semantic-duplicate", "select", "the instruction means the same; see docs/selection.md"
    CONTAMINATED = "contaminated", "seeds, select", '"HumanEval/94, 13 words in a row: ..."'
