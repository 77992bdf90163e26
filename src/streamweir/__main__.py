"""`python -m streamweir`."""

from streamweir.cli import main

if __name__ == "__main__":
    main()
