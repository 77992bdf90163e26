"""Bytes to frames and back: HTTP/1.1, lines, server-sent events, newline-delimited JSON. Pure."""
