"""Other programs' interfaces to homezoo; each needs its own extra."""
