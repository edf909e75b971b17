"""`python -m suanquan`."""

from suanquan.cli import main

if __name__ == "__main__":  # processes that decode batches import this module under another name
    main()
