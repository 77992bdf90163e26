"""The proxy, on aiohttp."""
