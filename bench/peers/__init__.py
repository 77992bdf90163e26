"""This proxy beside others and nginx, in one run: python -m bench.peers [--quick]

Every round drives each proxy in turn through the same load, from the same mock upstream. What is compared is the CPU of
a proxy's whole process tree, as a multiple of nginx passing the same bytes through in the same round.
"""
