"""Running things: atomic writing, provenance sidecars, one executor over cases, quarantine, logging."""
