"""Trains the digits network and saves its state dict: ``python examples/digits/train.py``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from data import test_set, train_set
from model import DigitsNet
from torch import nn
from torch.nn import functional

SEED = 0
EPOCHS = 20
BATCH = 64
PEAK_RATE = 0.01
CALIBRATION = 128  # images that int8 conversions take their ranges from


def train(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epochs: int,
    seed: int = SEED,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> list[float]:
    """Trains in place; answers the mean loss of every epoch. AdamW with one cycle, images shifted by up to 3 pixels."""
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(images) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=epochs * steps)
    losses = []
    net.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images), generator=generator)
        for rows in (order[start : start + BATCH] for start in range(0, len(images), BATCH)):
            loss = functional.cross_entropy(net(shifted(images[rows], generator)), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(total / len(images))
        report(epoch, losses[-1])
    net.eval()
    return losses


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by up to 3 pixels each way; what comes in at the edge is background."""
    padded = functional.pad(images, (3, 3, 3, 3), value=-1.0)
    offsets = torch.randint(0, 7, (len(images), 2), generator=generator).tolist()
    return torch.stack([image[:, y : y + 32, x : x + 32] for image, (y, x) in zip(padded, offsets, strict=True)])


def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of images whose highest score is their label's."""
    with torch.no_grad():
        return float((net(images).argmax(dim=1) == labels).float().mean())


def main() -> None:
    """Train, save, and print the accuracy on the test set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="folder for digits.pt")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(SEED)
    net = DigitsNet()
    images, labels = (torch.from_numpy(array) for array in train_set())
    train(net, images, labels, options.epochs, report=lambda epoch, loss: print(f"epoch {epoch + 1}: loss {loss:.4f}"))
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), options.out / "digits.pt")
    np.save(options.out / "calibration.npy", images[:CALIBRATION].numpy())
    score = accuracy(net, *(torch.from_numpy(array) for array in test_set()))
    print(f"test accuracy {score:.2%} of {len(test_set()[1])} digits, trained in {time.perf_counter() - started:.0f} s")
    print(f"saved {options.out / 'digits.pt'}")


if __name__ == "__main__":
    main()
