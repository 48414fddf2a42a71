"""`python cli.py run quickstart.gin` in a checkout: the same as `cifarzoo run quickstart.gin`."""

from cifarzoo.cli import main

main()
