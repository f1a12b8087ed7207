"""How the terminal shows what was certified."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.serving.certificate import Certificate

if TYPE_CHECKING:
    from tutelage.stages import Certification


def print_certification(found: Certification) -> None:
    """For each form the threshold, what it answers there, each bound with what is known, and how long."""
    out = console()
    for item in found.forms:
        outcome = item.outcome
        if isinstance(outcome, Certificate):
            day = datetime.fromtimestamp(outcome.expires, UTC).date()
            out.print(
                Text.assemble(
                    (f"{item.form} certified", "bold green"),
                    f": from confidence {outcome.threshold:.4f} on it answers {outcome.answered_share:.1%} "
                    f"of requests; until {day}",
                ),
                soft_wrap=True,
            )
        else:
            out.print(Text(f"{item.form} not certified", "bold red"))
        drawn = table()
        add_names(drawn, "bound")
        add_numbers(drawn, "seen", "of", f"upper limit ({1 - outcome.delta:.0%})", "allowed")
        for claim in outcome.claims:
            drawn.add_row(
                claim.bound.describe(),
                f"{claim.wrong:,}",
                f"{claim.n:,}",
                f"{claim.upper:.2%}",
                f"{claim.bound.limit:.2%}",
            )
        out.print(drawn)
        for reason in item.decision.reasons:
            out.print(reason, soft_wrap=True)
        out.print(
            f"{item.n:,} calibration prompts, of which the guard left {item.foreign:,} to the teacher; "
            f"wrote {item.path}",
            soft_wrap=True,
        )
