"""What every program() process needs: its input, its log, its lock."""
