"""What an event and a request cost, counted and not timed.

python -m bench.cost [instructions|calls] [--write] [--keep DIR]

Instructions of the pure pipeline under valgrind, and system calls of a real proxy under strace, beside the bounds in
bounds.json. It ends with 1 where one is exceeded, and with 2 where nothing could be counted.
"""
