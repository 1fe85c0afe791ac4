"""Image encoders that others trained, frozen: the graphs whose tokens the heads of Pixelkin read."""
