"""The networks, their layers, and VGG16's ImageNet weights."""
