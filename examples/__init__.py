"""What others build on the pipeline, written against its public contract only: nothing of ours is imported here."""
