"""What every benchmark uses: chips, measured commands, figures, targets."""
