"""The networks, and the devices that they run on."""
