"""One frozen settings model per stage; an unknown key is an error that names the nearest known one."""
