"""How many foreign prompts the guard tells, at the share of its own that it takes for foreign.

Fitted on the training file of one data set with several seeds, it judges that set's test file (own) and the other set's
(foreign): Banking77 is one narrow field, HWU64 a home assistant's many. The time is of one text, on one core.

    python benchmarks/novelty.py [--shares 0.005 0.01 0.02] [--seeds 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from certificates import DATA, read_rows
from tutelage.serving import Novelty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.005, 0.01, 0.02])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    names = [name for name in ("banking77", "hwu64") if (DATA / name).is_dir()]
    if len(names) < 2:
        raise SystemExit(f"{DATA} lacks banking77 or hwu64. Mend: set TUTELAGE_DATA")
    texts = {name: [[text for text, _ in part] for part in read_rows(name)] for name in names}
    print(f"{options.seeds} seeds, mean ± standard deviation")
    print(
        f"{'scope':10} {'foreign':10} {'share':>6} {'own told':>14} {'foreign told':>14} {'fit s':>6} {'ms':>6}"
    )
    for own, foreign in (names, names[::-1]):
        for share in options.shares:
            rows = [measured(texts[own], texts[foreign][1], share, seed) for seed in range(options.seeds)]
            (told, caught, fit, each), (told_sd, caught_sd, *_) = np.mean(rows, axis=0), np.std(rows, axis=0)
            print(
                f"{own:10} {foreign:10} {share:6.1%} {told:7.2%} ± {told_sd:.2%} {caught:7.1%} ± {caught_sd:.1%} "
                f"{fit:6.1f} {each * 1e3:6.2f}",
                flush=True,
            )


def measured(own: list[list[str]], foreign: list[str], share: float, seed: int) -> tuple[float, ...]:
    """Share of own and of foreign texts told, seconds of the fit and of one text."""
    train, test = own
    began = time.process_time()
    guard = Novelty.fit(train, share, seed)
    fit = time.process_time() - began
    began = time.process_time()
    told = float(np.mean([guard.foreign(text) for text in test]))
    each = (time.process_time() - began) / len(test)
    return told, float(np.mean([guard.foreign(text) for text in foreign])), fit, each


if __name__ == "__main__":
    main()
