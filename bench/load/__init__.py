"""A thousand streams through the proxy: what is lost, how late it comes, and what a stream takes.

python -m bench.load --streams 1000 --rate 5 --seconds 20
python -m bench.load --face resumable --cuts 5
python -m bench.load --silent 100
"""
