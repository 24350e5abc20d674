"""What a server, a suite or a command line put into a text must not reach the terminal as a command to it."""


def printable(text: object) -> str:
    """The text with every character that a terminal would obey, or not show, written as its escape.

    That covers control characters, line ends, marks that reverse the direction of writing, lone surrogates.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text)
    )
