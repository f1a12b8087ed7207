"""How the terminal shows what personal data sources hold."""

from __future__ import annotations

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.programme import Programme
from tutelage.stages.privacy import personal_data


def print_personal_data(programme: Programme, most: int | None) -> None:
    """A row for each kind: how often, in how many rows, what becomes of it; below it where, itself masked."""
    held, total = personal_data(programme, most=most)
    policy = programme.config.privacy
    out, drawn = console(), table()
    add_names(drawn, "personal data")
    add_numbers(drawn, "found", "rows")
    add_names(drawn, "what becomes of it")
    for kind in held:
        action = "stays as it is" if policy is None else str(getattr(policy, kind.entity))
        drawn.add_row(str(kind.entity), f"{kind.found:,}", f"{kind.rows:,}", action)
    out.print(drawn)
    out.print(f"in {total:,} rows of gold and traffic", soft_wrap=True)
    for kind in held:
        for example in kind.examples:
            out.print(Text(f"  … {example} …"), soft_wrap=True)
    if policy is None and any(kind.found for kind in held):
        out.print(
            "No policy: texts stay as they are. Mend: add `privacy: {}` to tutelage.yaml", soft_wrap=True
        )
