"""The guard: finds what must not leave in a stream of text, holding back a few characters. Pure, no dependency."""
