"""`python -m pixelkin`, which is what torchrun starts."""

from pixelkin.cli import main

main()
