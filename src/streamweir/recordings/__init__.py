"""What a recording may hold under a guard: the upstream's bytes with what the guard covers masked. Pure."""
