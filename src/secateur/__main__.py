"""`python -m secateur` is `secateur`."""

from secateur.cli.main import run_command_line

if __name__ == "__main__":
    run_command_line()
