from __future__ import annotations

import pytest

from snipmill.seeds.private import find_private

SECRETS = (
    'key = "AKIA' + "QWERTYUIOPASDFGH" + '"',
    'text = "-----BEGIN RSA ' + 'PRIVATE KEY-----"',
    'url = "https://bob:' + 's3cr3tpw@host/x"',
    'token = "ghp_' + 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"',
    'password = "' + 'hunter2butlonger!"',
)
IN_PROSE = (
    "export AWS_KEY=AKIA" + "QWERTYUIOPASDFGH",
    "token: ghp_" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
)
PERSONAL = (
    "jane.doe@mail.ru",
    "# ask hans@mail.de, or joe@company.co.uk",
    'call("+49 30 901820")',
    "# Ask jane.doe@some-company.de about this.",
    'card = "4539 5787 6362 1486"',
    'account = "DE89 3704 0044 0532 0130 00"',
    'server = "93.184.216.34"',
)
HARMLESS = (
    "user@example.com, a@b.test",
    'host = "192.168.0.1"',
    'host = "127.0.0.1"',
    "# Section 7.2.1.5 of the book",
    'digits = "0123456789"',
    'letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"',
    "number = 4539578763621486",
    'name = "a-perfectly-plain-name"',
    "@decorator",
)


@pytest.mark.parametrize("line", SECRETS)
def test_secrets_are_found(line: str) -> None:
    found = find_private(f"def f(x):\n    {line}\n    return x\n")
    assert found is not None and (found[0], found[1].line) == ("secret", 2)
    assert not any(word in found[1].kind for word in line.split('"') if len(word) > 6)


@pytest.mark.parametrize("line", IN_PROSE)
def test_secrets_in_docstrings_and_comments_are_found(line: str) -> None:
    for code in (f'def f(x):\n    """Use it.\n\n    {line}\n    """\n    return x\n', f"# {line}"):
        found = find_private(code)
        assert found is not None and found[0] == "secret"


@pytest.mark.parametrize("line", PERSONAL)
def test_personal_data_are_found(line: str) -> None:
    found = find_private(f"def f(x):\n    {line}\n    return x\n")
    assert found is not None and (found[0], found[1].line) == ("personal-data", 2)


@pytest.mark.parametrize("line", HARMLESS[:-3] + HARMLESS[-2:])
def test_what_only_looks_alike_is_left_alone(line: str) -> None:
    assert find_private(f"def f(x):\n    {line}\n    return x\n") is None
