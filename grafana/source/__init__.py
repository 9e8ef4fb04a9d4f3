"""One module for each dashboard, and the few words that they are all written in."""
