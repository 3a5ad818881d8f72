"""Entry point of `engines`: a library that is missing or broken is said in a sentence."""

from engines.console import plain_errors


def main() -> None:
    """Run the command line."""
    with plain_errors("engines"):
        from realtime.engine_tools.cli import main as run
    run()


if __name__ == "__main__":
    main()
