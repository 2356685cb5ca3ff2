"""Teach by editing: facts of a knowledge graph as one low-rank change, each of them reversible."""
