"""Starts the lbfast command."""

from lbfast.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
