"""What a run came to: tables, a page, and code that reproduces a failure."""
