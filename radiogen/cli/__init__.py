"""The commands: parse, call, print. Heavy imports live inside each command."""
