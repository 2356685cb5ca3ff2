"""The job of teaching by training: LoRA on the file as it is, full training of small models."""
