"""`python -m jobs`: the `linkcast` command, where it is not on the path."""

from jobs.cli import main

if __name__ == "__main__":
    main()
