"""Network shells of the library: one upstream connection, tokens, the async client."""
