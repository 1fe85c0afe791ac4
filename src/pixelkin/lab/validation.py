"""What a network's logits on validation crops are worth, while it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from pixelkin.lab.batches import Crops
from pixelkin.lab.detectors.base import Detector
from pixelkin.lab.recipe import TrainConfig
from pixelkin.metrics import accuracy, auc, average_precision
from pixelkin.types import Sample


@torch.inference_mode()
def validate(
    detector: Detector, root: Path, samples: list[Sample], config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """AUC, average precision, accuracy and loss on crops that are the same at every call, in 32 bits."""
    detector.eval()
    crops = Crops(root, samples, range(len(samples)), detector, config, epoch=None)
    found: list[float] = []
    known: list[int] = []
    for batch, of_batch in DataLoader(crops, config.batch, num_workers=config.workers):
        found += detector(batch.to(device)).tolist()
        known += of_batch.tolist()
    logits, labels = np.array(found), np.array(known)
    return {
        "auc": auc(logits, labels),
        "ap": average_precision(logits, labels),
        "accuracy": accuracy(logits, labels, threshold=0.0),
        "loss": float(np.mean(np.logaddexp(0, np.where(labels == 1, -logits, logits)))),
    }
