"""The flags of the commands, as typed options."""
