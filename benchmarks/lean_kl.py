"""Peak memory and time of losses over a large vocabulary: whole logits in plain torch against `lean`.

python benchmarks/lean_kl.py [--tokens 512 2048] [--vocabulary 150000] [--width 256] [--repeats 5] [--threads 1]

Each measurement is a process of its own. Memory is what a loss and its backward pass add to what the inputs
take (states and heads of teacher and student), the gradients themselves included: on the CPU the growth of
the process's greatest resident size (getrusage), on CUDA that of max_memory_allocated. Time is that of the
second pass: the process's own, which other work hardly moves, and the clock's on CUDA. A repeat is a dense process and a lean one right after it; ratios are lean / dense within it, as their
median and range.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tutelage.distillation.losses import (
    ForwardKL,
    JensenShannon,
    Projection,
    ReverseKL,
    lean_cross_entropy,
    lean_divergence,
)

KINDS = {"forward": ForwardKL(), "reverse": ReverseKL(), "jensen-shannon": JensenShannon()}
MEGABYTE = 1 << 20


def plain(loss: str, student: Projection, teacher: Projection, targets: Tensor) -> Tensor:
    """The dense loss in as few operations of torch as it takes."""
    logits = student.hidden @ student.weight.T
    if loss == "cross-entropy":
        return functional.cross_entropy(logits, targets, reduction="sum")
    log_q = torch.log_softmax(logits, dim=-1)
    with torch.no_grad():
        log_p = torch.log_softmax(teacher.hidden @ teacher.weight.T, dim=-1)
    if loss == "forward":
        return functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    if loss == "reverse":
        return functional.kl_div(log_p, log_q, reduction="sum", log_target=True)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    parts = (functional.kl_div(log_m, one, reduction="sum", log_target=True) for one in (log_p, log_q))
    return 0.5 * sum(parts)


def loss_of(way: str, loss: str, student: Projection, teacher: Projection) -> Callable[[], Tensor]:
    mask = torch.ones(len(student.hidden), dtype=torch.bool, device=student.hidden.device)
    targets = torch.arange(len(mask), device=mask.device)
    if way == "dense":
        return lambda: plain(loss, student, teacher, targets)
    if loss == "cross-entropy":
        return lambda: lean_cross_entropy(student, targets, mask)
    return lambda: lean_divergence(KINDS[loss], student, teacher, mask)


def peak(device: torch.device) -> int:
    """The most bytes held so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(options: argparse.Namespace) -> None:
    """One way and one loss: prints value, bytes and seconds as JSON."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    tokens, width, vocabulary = options.tokens[0], options.width, options.vocabulary
    sides = []
    for _ in range(2):
        hidden = torch.randn(tokens, width, device=device)
        weight = torch.empty(vocabulary, width, device=device).normal_(std=width**-0.5)
        sides.append(Projection(hidden, weight))
    for one in (sides[0].hidden, sides[0].weight):
        one.requires_grad_()
    run = loss_of(options.way, options.loss, *sides)
    few = [Projection(side.hidden[:2], side.weight[:8]) for side in sides]
    loss_of(options.way, options.loss, *few)().backward()  # libraries and threads are loaded by this
    before = peak(device)
    value = run()
    value.backward()
    grown = peak(device) - before
    sides[0].hidden.grad = sides[0].weight.grad = None
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    started = clock()
    run().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = clock() - started
    print(json.dumps({"value": value.item(), "bytes": grown, "seconds": seconds}))


def child(options: argparse.Namespace, way: str, loss: str, tokens: int) -> dict[str, float]:
    arguments = ["--way", way, "--loss", loss, "--tokens", str(tokens), "--width", str(options.width)]
    arguments += ["--vocabulary", str(options.vocabulary), "--threads", str(options.threads)]
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def spread(numbers: list[float]) -> str:
    return f"{statistics.median(numbers):.2f} [{min(numbers):.2f}, {max(numbers):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=["dense", "lean"], help=argparse.SUPPRESS)
    parser.add_argument("--loss", choices=[*KINDS, "cross-entropy"], help="this one alone")
    options = parser.parse_args()
    if options.way:
        measure(options)
        return
    print(f"vocabulary {options.vocabulary:,}, width {options.width}, float32, {options.threads} thread(s)")
    print(f"{'loss':<15}{'tokens':>7}{'dense MB':>10}{'lean MB':>9}  {'memory ratio':<20}{'time ratio':<20}")
    for loss in [options.loss] if options.loss else [*KINDS, "cross-entropy"]:
        for tokens in options.tokens:
            pairs = [
                (child(options, "dense", loss, tokens), child(options, "lean", loss, tokens))
                for _ in range(options.repeats)
            ]
            for dense, lean in pairs:
                assert abs(lean["value"] - dense["value"]) <= 1e-5 * abs(dense["value"]), (dense, lean)
            whole, part = (
                statistics.median(one["bytes"] for one in side) for side in zip(*pairs, strict=True)
            )
            memory = spread([lean["bytes"] / dense["bytes"] for dense, lean in pairs])
            seconds = spread([lean["seconds"] / dense["seconds"] for dense, lean in pairs])
            print(
                f"{loss:<15}{tokens:>7}{whole / MEGABYTE:>10,.0f}{part / MEGABYTE:>9,.0f}  {memory:<20}{seconds:<20}",
                flush=True,
            )


if __name__ == "__main__":
    main()
