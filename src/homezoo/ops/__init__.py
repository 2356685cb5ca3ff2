"""The arithmetic that models are written in, and the backends that carry it out."""
