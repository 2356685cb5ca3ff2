"""JOB, teach by context: documents made searchable, and questions answered from them."""
