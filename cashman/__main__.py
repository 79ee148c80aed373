"""`python -m cashman`."""

from cashman.cli import main

main()
