"""`python -m suanquan`."""

from suanquan.cli import main

main()
