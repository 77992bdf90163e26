"""What these tests share."""

from tests.stores import postgres_server, store

__all__ = ["postgres_server", "store"]
