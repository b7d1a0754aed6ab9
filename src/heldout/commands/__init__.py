"""The commands of `heldout`, one module each."""
