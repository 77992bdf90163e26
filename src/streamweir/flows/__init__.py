"""Decisions that need input or output, as states that name what they need. Pure: shells answer, they never decide."""
