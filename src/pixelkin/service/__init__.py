"""`pixelkin serve`: the same verdicts over HTTP, and a page for people. Needs the extra ``serve``."""
