"""Records: what is kept of every stream, and what leaves from there. A shell: it has threads, files and databases."""
