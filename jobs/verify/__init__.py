"""Checks a finished run from the topics alone: it may import nothing of ours but `topics`, so it shares no bug."""
