"""Streams that outlive a connection: positions, the log of what was released, and who may read it. Pure."""
