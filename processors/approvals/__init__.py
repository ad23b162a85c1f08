"""Approvals: what a person is asked, what their signature covers, and when it counts."""
