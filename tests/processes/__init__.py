"""Exactly once, with real processes: the function under its own runtime, unmodified ccxt, a venue and the Firestore
emulator over HTTP; and a SIGKILL just before or just after requests that are drawn, where it hurts most."""
