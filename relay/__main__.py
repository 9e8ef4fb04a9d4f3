"""The program: `relay …` and `python -m relay …`."""

from __future__ import annotations

from relay.cli import create_program


def main() -> None:
    """Runs the command line and exits with its code: 0 good, 1 not, 2 wrong usage."""
    create_program()()


if __name__ == "__main__":
    main()
