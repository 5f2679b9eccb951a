"""What is kept: pure state machines and their rows. No I/O, no clock, no randomness."""
