"""The formats that a model ships in: each module writes a file or folder with the same bytes again, and loads it."""
