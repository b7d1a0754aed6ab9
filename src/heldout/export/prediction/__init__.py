"""Prediction of files: which they are, their pixels ahead of the runtime, and the exported model that takes them."""
