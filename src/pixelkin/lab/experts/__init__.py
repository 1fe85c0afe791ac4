"""Heads on frozen features: extracted once, cached, trained in seconds, joined, exported as one model."""
