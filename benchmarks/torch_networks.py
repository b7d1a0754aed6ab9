"""The networks of heldout in PyTorch, each without its softmax, for benchmarks/train.py."""

import torch
from torch import nn


def cnn(side: int, architecture: dict) -> nn.Module:
    """The CNN of `networks`, without its softmax."""
    blocks, channels = [], 3
    for filters in architecture["filters"]:
        blocks += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
        channels, side = filters, (side - 2) // 2
    dense = [nn.Linear(channels * side * side, architecture["dense_units"]), nn.ReLU()]
    head = [nn.Flatten(), *dense, nn.Dropout(architecture["dropout"])]
    return nn.Sequential(*blocks, *head, nn.Linear(architecture["dense_units"], 10))


def resnet(side: int, architecture: dict) -> nn.Module:
    """The ResNet of `networks` with its small stem, without its softmax."""

    def convolution(before: int, after: int, size: int, stride: int) -> nn.Sequential:
        layer = nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(after))

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int):
            super().__init__()
            self.first = nn.Sequential(convolution(before, after, 3, stride), nn.ReLU())
            self.second = convolution(after, after, 3, 1)
            self.shortcut = nn.Identity() if stride == 1 else convolution(before, after, 1, stride)

        def forward(self, x):
            return torch.relu(self.second(self.first(x)) + self.shortcut(x))

    blocks, channels = [convolution(3, 16, 3, 1), nn.ReLU()], 16
    for after in (16, 32, 64):
        for block in range((architecture["depth"] - 2) // 6):
            blocks.append(Block(channels, after, 2 if after > 16 and block == 0 else 1))
            channels = after
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
