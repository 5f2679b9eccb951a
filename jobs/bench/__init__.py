"""`linkcast bench`: what the pipeline can do, measured beside what people would use instead."""
