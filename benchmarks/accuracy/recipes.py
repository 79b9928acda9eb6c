"""How to fine-tune from a solved head: every choice as one field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One way to fine-tune.

    Attributes:
        strategy: "partial" (first half of the blocks frozen), "full", or "solved": no step.
        batch_norm: "train" or "frozen".
        rate: Highest rate of the backbone's blocks.
        head_rate: Highest rate of the head; 0 keeps the solved head.
        decay: Factor from each backbone block's rate to the one before it; 1: all alike.
        optimizer: "adam", "adamw" or "sgd" (momentum 0.9).
        weight_decay: Of AdamW.
        schedule: A name of `kerastl.schedules`.
        steps: Optimizer steps, rounded up to whole epochs.
        batch_size: Images per step.
        augment: A preset of `load_data`.
        ema: Momentum of the average of the weights; 0: none.
        blend: How far from the starting weights to the trained ones the result is: 0.5 is
            half way (Wortsman et al., 2022), 1 keeps the trained ones.
        label_smoothing: Share of each label that is spread over all classes.
        dropout: In front of the head.
        keep: "last", or "best": a fifth of the images chooses the epoch by its loss,
            the solved head among them.
    """

    strategy: str = "full"
    batch_norm: str = "frozen"
    rate: float = 3e-4
    head_rate: float = 1e-4
    decay: float = 1.0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "warmup-cosine"
    steps: int = 150
    batch_size: int = 16
    augment: str = "none"
    ema: float = 0.0
    blend: float = 1.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    keep: str = "last"
