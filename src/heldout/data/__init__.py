"""From a folder of images to index, split, and shards of pixels."""
