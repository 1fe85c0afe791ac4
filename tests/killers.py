"""Decoders that do to their process what hostile images do to native codecs. A picture's name says which."""

import os
import signal
import time
from pathlib import Path

from pixelkin import images


def eat():
    eaten = []
    while True:
        eaten.append(bytearray(10**8))


KILLERS = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: time.sleep(60),
    "eat": eat,
}


def decode(data, name, **options):
    """As `pixelkin.images.decode`, but for names that a killer's word is in."""
    for word, kill in KILLERS.items():
        if word in Path(name).name:
            kill()
    return images.decode(data, name, **options)
