"""fastai's `Learner` on the same network and tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from fastai.vision.all import (
    SGD,
    Callback,
    CancelValidException,
    CrossEntropyLossFlat,
    DataLoaders,
    Learner,
    default_device,
)

from benchmarks.contestants import TrainingOutcome
from benchmarks.images import normalised_tensors
from benchmarks.jobs import Job
from benchmarks.networks import build_network, parameters_by_fate


class NoValidation(Callback):
    """Leaves the validation out: no other contestant has one."""

    def before_validate(self) -> None:
        """Cancel it before the first batch."""
        raise CancelValidException()


class CpuAutocast(Callback):
    """bfloat16 for forward pass and loss on a CPU, where fastai's own is for GPUs."""

    def before_batch(self) -> None:
        """Enter torch's autocast."""
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_loss(self) -> None:
        """Leave it before the backward pass."""
        self.autocast.__exit__(None, None, None)


def prepare(job: Job) -> Callable[[], TrainingOutcome]:
    """Build the learner; what is returned calls `fit`."""
    learner, note = build_learner(job)

    def train() -> TrainingOutcome:
        with learner.no_bar(), learner.no_logging():
            learner.fit(job.epochs)
        return TrainingOutcome(float(learner.recorder.losses[-1]), note)

    return train


def build_learner(job: Job) -> tuple[Learner, str]:
    """The job's learner, frozen as its strategy says, and a note on its precision."""
    device = default_device()
    batches = DataLoaders.from_dsets(
        normalised_tensors(job), bs=job.batch_size, drop_last=False, num_workers=0, device=device
    )
    learner = Learner(
        # `fit` looks for validation batches, to leave them out.
        DataLoaders(batches.train, batches.train, device=device),
        build_network(job).to(device),
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(SGD, mom=0.9),
        lr=1e-3,
        splitter=lambda network: [group for group in parameters_by_fate(network, job) if group],
        train_bn=False,  # frozen batch norms have no gradient, as with all others
        cbs=NoValidation(),
    )
    if job.strategy != "full":
        learner.freeze_to(1)
    return learner, _mix_precision(learner) if job.is_mixed else ""


def _mix_precision(learner: Learner) -> str:
    if torch.cuda.is_available():
        learner.to_bf16()
        return "to_bf16()"
    learner.add_cb(CpuAutocast())
    return "bfloat16 by torch.autocast in a callback: to_bf16() is for GPUs"
