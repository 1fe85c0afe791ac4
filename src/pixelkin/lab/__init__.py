"""The laboratory: train, export and study detectors. The only part of Pixelkin that imports torch."""
