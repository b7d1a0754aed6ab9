"""Random changes of training images, and the contact sheets that show them."""
