"""The audit log: a Merkle tree of records, signed checkpoints, and how both are verified. Pure."""
