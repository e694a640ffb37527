"""The agent; asyncio lives here and only here."""
