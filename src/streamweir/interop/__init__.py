"""Working together with the software of others, which is imported only when it is used."""
