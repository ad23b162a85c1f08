"""The front door by itself: tokens, frames, what requests may say."""
