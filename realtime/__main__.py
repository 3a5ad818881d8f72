"""Entry point of `realtime`: Ctrl-C, or a library that is missing or broken, is no traceback even at the start."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from engines.console import plain_errors

        with plain_errors("realtime"):
            from realtime.cli import main as run
        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
