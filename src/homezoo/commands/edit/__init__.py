"""The words of `homezoo edit`, one module each."""
