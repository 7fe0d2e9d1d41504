"""What a cardiologist reads from labels: volumes, ejection fractions, mass."""
