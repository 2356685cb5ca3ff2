"""The words of `homezoo adapter`, one module each."""
