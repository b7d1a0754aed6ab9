"""Image files decoded and resized by TensorFlow, inside an exported model, as data/images.py does it by OpenCV."""
