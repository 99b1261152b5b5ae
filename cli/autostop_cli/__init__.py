"""The owner's command, for what a phone page is not for."""

# Of the command, and of the stacks that it deploys: their templates tell it.
VERSION = "0.1.0"
