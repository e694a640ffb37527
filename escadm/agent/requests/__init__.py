"""What is asked of the agent, and how it is waited for."""
