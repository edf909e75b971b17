"""Tables of the pages as files: CSV, Excel and PDF that say what the screen says."""
