"""Policy: rules as data, and what they say of a call; the first rule that matches decides."""
