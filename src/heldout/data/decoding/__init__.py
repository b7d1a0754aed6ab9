"""From a file's bytes to pixels: which formats there are, what a header says, and how each is decoded."""
