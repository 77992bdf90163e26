"""The library: what both clients share, and their shells in aio/ and sync/."""
