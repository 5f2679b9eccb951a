"""A minute of a large team and many small groups on three links, with faults on the way; then a group of 100,000."""
