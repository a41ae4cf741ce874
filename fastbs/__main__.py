"""`python -m fastbs`: the `fastbs` command where its script is not on the path."""

from fastbs.cli import main

if __name__ == "__main__":
    main()
