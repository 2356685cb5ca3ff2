"""JOB, which way to teach: what each way costs, and what it is worth."""
