"""Networks that a system looks through and does not train."""
