"""The checks that a program has in its source, and its functions that hold checks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Sequence

# One check in the source: first line, last line, text, comparison operator, why it proves nothing, names of the functions that
# it calls, and whether it can only fail. A check that can only fail, such as `assert False`, is not meant to be reached.
Site = tuple[int, int, str, str, str, tuple[str, ...], bool]
# A function of the tests: its qualified name, its line, whether it is a test by its name, and whether it is meant to run: it holds
# checks, and nothing but a call of it is missing.
Function = tuple[str, int, bool, bool]


class Sites:
    """The checks found so far.

    Args:
        lines: of the source.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.found: list[Site] = []
        self._lines = lines

    def __len__(self) -> int:
        return len(self.found)

    def add(
        self,
        node: ast.stmt | ast.ExceptHandler,
        operator: str = "",
        empty: str = "",
        subjects: tuple[str, ...] = (),
        *,
        fails: bool = False,
    ) -> int:
        """Add the check that a statement is. Returns its number.

        Args:
            node: the statement.
            operator: of a comparison.
            empty: why it proves nothing.
            subjects: names of the functions that it calls.
            fails: whether it can only fail.
        """
        last = node.end_lineno or node.lineno
        text = "\n".join(self._lines[node.lineno - 1 : min(last, node.lineno + 10)]).strip()
        self.found.append((node.lineno, last, text[:500], operator, empty, subjects, fails))
        return len(self.found) - 1

    def hold_checks(self, first: int, last: int | None = None) -> bool:
        """Whether there is one among these that may hold."""
        return any(not site[6] for site in self.found[first:last])
