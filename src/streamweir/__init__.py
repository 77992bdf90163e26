"""streamweir: the measured gate for LLM token streams."""
