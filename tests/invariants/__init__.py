"""What must hold of what sessions leave behind, in the simulation as on a real deployment."""
