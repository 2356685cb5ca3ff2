"""One file per architecture, and what all of them share: sizes, weights, batch, cache."""
