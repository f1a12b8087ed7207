"""A step of training, as small as it goes, for students that write."""

from __future__ import annotations

import numpy as np


def step(learner, encoded, rate=0.01):
    """One step of plain likelihood, as a trainer makes it; its loss before."""
    import torch

    batch = encoded.batch(np.arange(len(encoded)))
    labels = batch.pop("labels")
    optimizer = learner.optimizer(learner.module, rate)
    logits = learner.module(**batch).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
