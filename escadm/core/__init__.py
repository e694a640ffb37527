"""The pure heart: standard library only; no I/O, clock or environment."""
