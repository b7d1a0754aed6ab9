"""Training without labels: SimCLR, whose encoder the stage `train` may start from."""
