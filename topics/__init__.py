"""What travels: every topic, every record, every limit. Imports nothing of the rest."""
