"""What is measured: the pure pipeline, the guard, a thousand streams, and this proxy beside others."""
