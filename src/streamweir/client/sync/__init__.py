"""The sync client's shells: blocking sockets and threads around what the folder above decides."""
