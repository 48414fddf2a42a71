"""The command line, one file a group of commands."""


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    from cifarzoo.cli.app import app

    app()
