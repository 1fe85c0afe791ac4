"""What is said beside verdicts, the same words everywhere; docs/limits.md has the reasons."""

CAUTION = (
    "A verdict is an estimate, not proof: it is wrong at times, and no ground for a decision about a person."
)
