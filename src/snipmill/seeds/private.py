"""Detects secrets and personal data in seeds. A finding gives only its kind and line, never the value.

The detectors of detect-secrets (bc-detect-secrets, its maintained fork) find secrets, offline. Personal data are e-mail
addresses, telephone numbers in international format, public network addresses, and valid payment card and bank account
numbers. Does not cover names of persons. The libraries are an optional extra.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from snipmill.errors import UsageError
from snipmill.reasons import Reason

_EMAIL = re.compile(r"[\w.+-]{1,64}@([\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,24})\b")
_RESERVED = re.compile(
    r"(?:^|\.)example\.|\.(?:test|invalid|localhost|local|example)$|^(?:domain|company|email|mail|host|server|foo|bar|spam|x|b|c)\.(?:com|org|net|c|tld)$",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![\w.+])\+\d[\d ().-]{7,18}\d(?![\w])")
_IP = re.compile(r"(?<=[\"'/@])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_EVERYBODYS = frozenset({"1.1.1.1", "1.2.3.4", "8.8.4.4", "8.8.8.8"})
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){13,19}(?![\w.-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_ENTROPY = "High Entropy"
_SHORTEST_RANDOM = 20
_TOKEN = re.compile(r"[\w+/=.-]{16,}|://")
_OF_LITERALS = frozenset({"Secret Keyword", "Base64 High Entropy String", "Hex High Entropy String"})
_LONGEST_LINE = 2000  # characters; some detectors take quadratic time in the line length


@dataclass(frozen=True, slots=True)
class Finding:
    """The kind of a finding, and its line in the seed, counted from 1."""

    kind: str
    line: int


def find_private(code: str) -> tuple[str, Finding] | None:
    """The reason code, `secret` or `personal-data`, and the first finding in a seed; None if there is none.

    Raises:
        UsageError: the extra is not installed.
    """
    return next(private_findings(code), None)


def private_findings(text: str) -> Iterator[tuple[str, Finding]]:
    """The reason code and the finding of each line that holds something, secrets before personal data.

    Raises:
        UsageError: the extra is not installed.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        for reason, kinds in ((Reason.SECRET, _secrets(line, number)), (Reason.PERSONAL_DATA, _personal(line))):
            kind = next(kinds, None)
            if kind is not None:
                yield reason, Finding(kind, number)


@cache
def _detectors() -> tuple[list[Any], list[Callable[[str], bool]]]:
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
        from detect_secrets.filters import heuristic
    except ImportError:
        raise UsageError(
            "Secret detection needs an extra: run `pip install 'snipmill[seeds]'`, or disable it with --no-secrets."
        ) from None
    plugins: list[Any] = [plugin() for _, plugin in sorted(get_mapping_from_secret_type_to_class().items())]
    harmless: list[Callable[[str], bool]] = [
        heuristic.is_sequential_string,
        heuristic.is_potential_uuid,
        heuristic.is_templated_secret,
        heuristic.is_not_alphanumeric_string,
        heuristic.is_prefixed_with_dollar_sign,
    ]
    return plugins, harmless


def _secrets(line: str, number: int) -> Iterator[str]:
    plugins, harmless = _detectors()
    if _KEY.search(line):  # the detector for private keys reads whole files, and misses a truncated key
        yield "Private Key"
    quoted = '"' in line or "'" in line
    if not quoted and not _TOKEN.search(line):
        return  # no token is long enough to be a key
    for plugin in plugins if len(line) <= _LONGEST_LINE else ():
        if not quoted and plugin.secret_type in _OF_LITERALS:
            continue
        for found in plugin.analyze_line(filename="seed.py", line=line, line_number=number):
            value = found.secret_value or ""
            if _ENTROPY in found.type and (len(value) < _SHORTEST_RANDOM or not re.search(r"\d", value)):
                continue
            guessed = _ENTROPY in found.type or found.type == "Secret Keyword"
            if not guessed or not any(test(value) for test in harmless):
                yield str(found.type)


def _personal(line: str) -> Iterator[str]:
    if "@" in line and any(not _RESERVED.search(found) for found in _EMAIL.findall(line)):
        yield "e-mail address"
    if not re.search(r"\d[\d .-]{6}", line):
        return
    if any(_is_phone(found) for found in _PHONE.findall(line)):
        yield "telephone number"
    if any(_is_public(found) for found in _IP.findall(line)):
        yield "network address"
    if any(_is_card(found) for found in _CARD.findall(line)):
        yield "payment card"
    if any(_is_account(found) for found in _IBAN.findall(line)):
        yield "bank account"


def _is_phone(text: str) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, None)))
    except phonenumbers.NumberParseException:
        return False


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global and text not in _EVERYBODYS
    except ValueError:
        return False


def _is_card(text: str) -> bool:
    from stdnum import luhn

    digits = re.sub(r"\D", "", text)
    return digits[0] in "3456" and 13 <= len(digits) <= 19 and len(set(digits)) > 4 and bool(luhn.is_valid(digits))


def _is_account(text: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(text))
