"""The async client's shells: asyncio protocols, tasks and timers around what the folder above decides."""
