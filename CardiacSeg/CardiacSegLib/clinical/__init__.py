"""What a cardiologist reads from labels: volumes, function, mass, wall thickness, normal ranges, a page of it all."""
