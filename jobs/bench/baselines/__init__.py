"""The same job, written as people would write it without Linkcast; kept fair and readable."""
