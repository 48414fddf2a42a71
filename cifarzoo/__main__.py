"""`python -m cifarzoo`: the same as `cifarzoo`."""

from cifarzoo.cli import main

main()
