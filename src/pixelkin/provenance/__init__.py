"""What a file says of its own origin: context beside a verdict, never part of it.

Everything here was written by whoever made or passed on the file. It can be missing, copied or
invented; only a signed C2PA manifest is more than a claim.
"""

from __future__ import annotations

from pixelkin.provenance.claims import Claim, Evidence
from pixelkin.provenance.declared import declared
from pixelkin.provenance.reading import evidence
from pixelkin.provenance.settings import Settings

__all__ = ["Claim", "Evidence", "Settings", "declared", "evidence"]
